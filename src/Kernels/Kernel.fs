namespace Peft.Kernels

open System
open Peft
open TorchSharp

/// What stands in the place of a plain composition of TorchSharp's operations, which is its definition and serves where the
/// kernel does not or is switched off.
[<RequireQualifiedAccess>]
type internal Kernel =
    | Product
    | Packing
    | Norm
    | Gate
    | Attention
    | Dropout
    | CrossEntropy
    | Adapted
    | StepAttention
    | Scores
    | AdamW

/// The kernels by name, and the one gate through which all of them are asked.
[<RequireQualifiedAccess>]
module internal Kernel =
    /// Every kernel, in the order in which they are told.
    let all: Kernel list =
        [
            Kernel.Product
            Kernel.Packing
            Kernel.Norm
            Kernel.Gate
            Kernel.Attention
            Kernel.Dropout
            Kernel.CrossEntropy
            Kernel.Adapted
            Kernel.StepAttention
            Kernel.Scores
            Kernel.AdamW
        ]

    /// The word that switches it off.
    let name (kernel: Kernel) : string =
        match kernel with
        | Kernel.Product -> "product"
        | Kernel.Packing -> "packing"
        | Kernel.Norm -> "norm"
        | Kernel.Gate -> "gate"
        | Kernel.Attention -> "attention"
        | Kernel.Dropout -> "dropout"
        | Kernel.CrossEntropy -> "cross-entropy"
        | Kernel.Adapted -> "adapted"
        | Kernel.StepAttention -> "step-attention"
        | Kernel.Scores -> "scores"
        | Kernel.AdamW -> "adamw"

    /// What serves without it.
    let replaces (kernel: Kernel) : string =
        match kernel with
        | Kernel.Product -> "libtorch's linear in float32"
        | Kernel.Packing -> "products with weights in their own order while decoding"
        | Kernel.Norm -> "square, mean, rsqrt and two products"
        | Kernel.Gate -> "activation, product and dropout"
        | Kernel.Attention -> "product, sum with the bias, softmax, dropout and product"
        | Kernel.Dropout -> "libtorch's dropout, and the sum with the residual"
        | Kernel.CrossEntropy -> "libtorch's cross-entropy of float32 logits"
        | Kernel.Adapted -> "products, sums and rescalings around a frozen map"
        | Kernel.StepAttention -> "attention over keys and values copied together"
        | Kernel.Scores -> "topk and logsumexp"
        | Kernel.AdamW -> "AdamW in operations of TorchSharp"

    /// The module of this folder that holds its loops; none where libtorch does.
    let home (kernel: Kernel) : string option =
        match kernel with
        | Kernel.Product
        | Kernel.Packing
        | Kernel.AdamW -> None
        | Kernel.Norm -> Some "RmsNorm"
        | Kernel.Gate -> Some "Gating"
        | Kernel.Attention -> Some "FusedAttention"
        | Kernel.Dropout -> Some "Dropout"
        | Kernel.CrossEntropy -> Some "CrossEntropy"
        | Kernel.Adapted -> Some "Adapted"
        | Kernel.StepAttention -> Some "StepAttention"
        | Kernel.Scores -> Some "Scores"

    /// The environment variable that names the kernels that are off, parted by commas; `all` are all of them.
    let variable = "PEFT_KERNELS_OFF"

    /// Kernels by their names; `UserError` where there is none of a name.
    let parse (words: string) : Kernel list =
        let one (word: string) =
            match all |> List.tryFind (fun kernel -> name kernel = word.ToLowerInvariant()) with
            | Some kernel -> [ kernel ]
            | None when word.ToLowerInvariant() = "all" -> all
            | None ->
                let names = all |> List.map name |> String.concat ", "
                userError $"{variable} names '{word}', which is no kernel: use {names}, or all."

        words.Split(',', StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries)
        |> List.ofArray
        |> List.collect one

    /// Those that are off; none before the environment is read.
    let mutable private off: Kernel list option = None

    let private switchedOff () : Kernel list =
        match off with
        | Some kernels -> kernels
        | None ->
            let kernels =
                match Environment.GetEnvironmentVariable variable with
                | null -> []
                | words -> parse words

            off <- Some kernels
            kernels

    /// Reads the environment variable now; `UserError` where it names what is no kernel.
    let readSwitches () : unit = switchedOff () |> ignore

    /// Whether a kernel is not switched off.
    let isOn (kernel: Kernel) : bool =
        match switchedOff () with
        | [] -> true
        | kernels -> not (List.contains kernel kernels)

    /// Runs `work` with these kernels off, too, in the whole process.
    let without (kernels: Kernel list) (work: unit -> 'result) : 'result =
        let before = switchedOff ()

        try
            off <- Some(kernels @ before)
            work ()
        finally
            off <- Some before

    /// Whether a kernel is on, can run here and can read this tensor: on the CPU, of a dtype that all of them know, not empty.
    let serves (kernel: Kernel) (x: torch.Tensor) : bool =
        isOn kernel
        && Libtorch.isHere ()
        && x.device_type = DeviceType.CPU
        && (x.dtype = torch.float32 || x.dtype = torch.bfloat16)
        && x.numel () > 0L
