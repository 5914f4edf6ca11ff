namespace Peft

open System
open Peft.Kernels
open TorchSharp

/// One parameter of an AdamW step, with its gradient and moments.
[<ReferenceEquality>]
type internal AdamSlot =
    {
        Parameter: torch.Tensor
        Gradient: torch.Tensor
        M: torch.Tensor
        V: torch.Tensor
    }

/// libtorch's AdamW in one pass over memory, which TorchSharp reaches through TorchScript only.
[<RequireQualifiedAccess>]
module internal FusedAdamW =
    let private script =
        """
def step(parameters: List[Tensor], gradients: List[Tensor], m: List[Tensor], v: List[Tensor], steps: List[Tensor],
         rate: float, beta1: float, beta2: float, decay: float, epsilon: float) -> int:
    torch._fused_adamw_(parameters, gradients, m, v, [], steps, lr=rate, beta1=beta1, beta2=beta2,
                        weight_decay=decay, eps=epsilon, amsgrad=False, maximize=False)
    return 0
"""

    /// None where this libtorch does not have the operation.
    let private compiled =
        lazy
            (try
                Some(torch.jit.compile script)
             with :? Runtime.InteropServices.ExternalException ->
                 None)

    /// Whether the operation serves this slot: it reads float32 in the order of memory.
    let serves (slot: AdamSlot) : bool =
        let fits (tensor: torch.Tensor) =
            tensor.dtype = torch.float32
            && tensor.is_contiguous ()
            && tensor.device_type = slot.Parameter.device_type
            && tensor.device_index = slot.Parameter.device_index

        Kernel.isOn Kernel.AdamW
        && (slot.Parameter.device_type = DeviceType.CPU
            || slot.Parameter.device_type = DeviceType.CUDA)
        && List.forall fits [ slot.Parameter; slot.Gradient; slot.M; slot.V ]
        && compiled.Value.IsSome

    /// Step number `number` (from 1) of slots that it serves, all on one device.
    let step
        (beta1: float)
        (beta2: float)
        (epsilon: float)
        (decay: float)
        (number: int)
        (rate: float)
        (slots: AdamSlot list)
        : unit =
        match compiled.Value, slots with
        | Some unit, first :: _ ->
            let all (part: AdamSlot -> torch.Tensor) = slots |> List.map part |> Array.ofList

            use count = torch.tensor (float32 number, device = first.Parameter.device)

            // Scalars that TorchSharp makes of numbers by itself may be collected before the operation reads them.
            let scalars =
                [ rate; beta1; beta2; decay; epsilon ]
                |> List.map (fun number -> number.ToScalar())

            let arguments: obj[] =
                [|
                    all _.Parameter
                    all _.Gradient
                    all _.M
                    all _.V
                    Array.create slots.Length count
                    for scalar in scalars do
                        scalar
                |]

            unit.invoke ("step", arguments) |> ignore

            for scalar in scalars do
                scalar.Dispose()
        | _ -> ()
