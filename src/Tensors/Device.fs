namespace Peft

open System
open TorchSharp

/// Where tensors lie.
[<RequireQualifiedAccess>]
module Device =
    /// `cpu`, `cuda` or `cuda:1`; `UserError` where there is no such device.
    let parse (text: string) : torch.Device =
        match text.ToLowerInvariant().Split(':') with
        | [| "cpu" |] -> torch.CPU
        | [| "cuda" |] when torch.cuda.is_available () -> torch.device "cuda"
        | [| "cuda"; index |] when
            torch.cuda.is_available ()
            && fst (Int32.TryParse index)
            && int index < torch.cuda.device_count ()
            ->
            torch.device $"cuda:{index}"
        | [| "cuda" |]
        | [| "cuda"; _ |] ->
            userError
                $"there is no device '{text}' here: this build sees {torch.cuda.device_count ()} CUDA devices. Build with -p:TorchBackend=cuda on a machine that has one, or use --device cpu."
        | _ -> userError $"'{text}' is no device: use cpu, cuda or cuda:<number>."

/// Dtypes of frozen weights and activations.
[<RequireQualifiedAccess>]
module Precision =
    /// `float32` or `bfloat16`.
    let parse (text: string) : torch.ScalarType =
        match text.ToLowerInvariant() with
        | "float32" -> torch.float32
        | "bfloat16" -> torch.bfloat16
        | _ -> userError $"'{text}' is no dtype of this program: use float32 or bfloat16."
