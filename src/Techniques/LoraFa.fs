namespace Peft

open System.Text.RegularExpressions
open TorchSharp

/// An optimiser whose gradients of B are divided by what A makes of them, before each step.
type internal FixedAOptimizer(inner: Optimizer, factors: (torch.Tensor * torch.Tensor) list) =
    interface Optimizer with
        member _.Step rate =
            use _ = torch.NewDisposeScope()
            use _ = torch.no_grad ()

            for b, factor in factors do
                match b.grad with
                | null -> ()
                | gradient -> gradient.copy_ (gradient.mm factor) |> ignore

            inner.Step rate

        // A stays, so the factors are no state.
        member _.State() = inner.State()

        member _.Steps
            with get () = inner.Steps
            and set value = inner.Steps <- value

/// LoRA-FA (Zhang et al. 2023): LoRA whose A stays as it starts. Only B is trained, and W x + scale · B A x moves as near to
/// what full fine-tuning would do as B lets it.
[<RequireQualifiedAccess>]
module LoraFa =
    /// What is added to the diagonal of A Aᵀ, as in peft's optimiser.
    let private ridge = 1e-8

    /// The ε̂ of its AdamW, as in peft's optimiser.
    let epsilonHat = 1e-6

    /// The outermost low-rank update at each of these sites with its A frozen as it is.
    let freezeA (where: Selector) : Adapter =
        Start.wrap where (fun _ projection ->
            match projection with
            | LowRank(inner, a, b, scale, dropout) -> LowRank(inner, Leaf.freeze a, b, scale, dropout)
            | other -> other)

    /// A, B and the scale of every update whose A is frozen and whose B is trained.
    let private updates (model: Model) : (torch.Tensor * torch.Tensor * float) list =
        Model.projections model
        |> List.collect (snd >> Projection.updates)
        |> List.choose (fun (a, b, scale) ->
            match a, b with
            | Frozen a, Trained b -> Some(a, b, scale)
            | _ -> None)

    /// The frozen A of every update whose B is trained, [rank, in], in the order of computation.
    let frozen (model: Model) : torch.Tensor list =
        updates model |> List.map (fun (a, _, _) -> a)

    /// (A Aᵀ + 1e-8 I)⁻¹ / scale²: [rank, rank], computed in float64.
    let private factor (a: torch.Tensor) (scale: float) : torch.Tensor =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let wide = a.detach().``to``(torch.CPU).``to`` torch.float64

        let square =
            wide.mm(wide.t ()).add(torch.eye (wide.size 0, dtype = torch.float64), ridge.ToScalar())

        torch.linalg
            .inv(square)
            .div((scale * scale).ToScalar())
            .``to``(torch.float32)
            .``to``(a.device)
            .MoveToOuterDisposeScope()

    /// `inner`, with the gradient G [out, rank] of each B replaced by G (A Aᵀ + 1e-8 I)⁻¹ / scale² before a step (eq. 5 with
    /// peft's ridge): the step that B takes of what the whole weight would. Around a second time it changes nothing.
    let around (model: Model) (inner: Optimizer) : Optimizer =
        match inner with
        | :? FixedAOptimizer -> inner
        | _ -> FixedAOptimizer(inner, updates model |> List.map (fun (a, b, scale) -> b, factor a scale))

    /// peft's names of the A at these sites, and where a model has them: an adapter folder of peft's holds A beside B.
    let internal held (sites: Site list) : Buffers =
        {
            Names = sites |> List.map (fun site -> $"base_model.model.{site.Name}.lora_A.weight")
            Of = frozen
            Around = fun _ _ -> invalidOp "a folder of peft's LoRA is read with its A trained"
            IsHeld = true
        }

    /// The number that the fixed A follows from: `fa` is 0, `fa=7` is 7.
    let internal read (words: Words) : int option =
        match words.Text "fa" with
        | None -> None
        | Some "" -> Some 0
        | Some text when Regex.IsMatch(text, @"^\d{1,6}$") -> Some(int text)
        | Some text -> refuse $"lora has the fa '{text}', which is no whole number"
