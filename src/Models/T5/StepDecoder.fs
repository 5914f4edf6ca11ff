namespace Peft.T5

open Peft
open Peft.Kernels
open TorchSharp

/// The decoder of a model, token by token, over one batch of encoded rows with `beams` lines each and at most `limit` tokens.
type internal StepDecoder(start: Pass, model: T5, source: Encoded, beams: int, limit: int) =
    let config = model.Config
    let mutable pass = start
    let mutable model = model
    // A prefix (prefix tuning) takes the first positions; the start token comes after it.
    let before = Forward.prefixLength model
    let device = source.Hidden.device

    let crossAttention (block: Block) = Option.get block.CrossAttention

    let memory =
        let cross part =
            model.Decoder.Blocks
            |> List.map (fun block -> Projection.apply pass (part (crossAttention block)) source.Hidden)
            |> Array.ofList

        let positions = before + limit

        let memory =
            {
                Config = config
                Precision = model.Precision
                Rows = int (source.Hidden.size 0)
                Beams = beams
                Limit = positions
                CrossKeys = cross _.K
                CrossValues = cross _.V
                MaskBias = source.MaskBias
                PositionBias = Position.bias config Stack.Decoder model.Decoder.RelativeBias positions positions
                Prefix = Forward.prefix model
            }

        if LineMemory.Serves memory then
            LineMemory memory :> IStepMemory
        else
            TensorMemory memory

    let selfAttention step index (layer: Attention) (x: torch.Tensor) =
        let normed = Layer.norm layer.Norm x
        let project part = Projection.apply pass part normed

        let mixed =
            memory.SelfAttention(index, step, project layer.Q, project layer.K, project layer.V)

        x.add (Projection.apply pass layer.O mixed)

    let crossAttend index (layer: Attention) (x: torch.Tensor) =
        let q = Layer.norm layer.Norm x |> Projection.apply pass layer.Q
        x.add (memory.CrossAttention(index, q) |> Projection.apply pass layer.O)

    // Bringing a weight into oneDNN's order costs about two steps' products and saves a good half of each: an answer of a
    // word or two is over before that, and a few more steps would not win it back.
    let stepsBeforePacking, leastStepsAfter = 3, 8
    // The copies stand beside the weights.
    let mostPacked = 1L <<< 30
    let mutable head = fun (hidden: torch.Tensor) -> Forward.head model hidden

    let pack () =
        let weights =
            T5.leaves model
            |> List.filter (fun (name, _) -> name.StartsWith("decoder.", System.StringComparison.Ordinal))
            |> List.map snd
            |> List.append (Option.toList model.Head)

        let bytes =
            weights |> List.sumBy (fun leaf -> leaf.Value.numel () * leaf.Value.ElementSize)

        if bytes <= mostPacked then
            model <- T5.packDecoder model

            match model.Head with
            | Some(Frozen weight) when weight.dtype = model.Precision ->
                Product.pack weight |> Option.iter (fun copy -> head <- Product.packed copy)
            | _ -> ()

    /// Whether it pays to go on without the rows that are done.
    member _.ShouldLeave(isDone: bool[]) : bool =
        let finished = isDone |> Array.filter id |> Array.length

        finished > 0
        && finished < isDone.Length
        && float finished >= memory.LeavingShare * float isDone.Length

    /// To be called before each step, outside of the scope that frees what the step leaves behind.
    member _.Prepare(step: int) : unit =
        if step = stepsBeforePacking && limit - step >= leastStepsAfter then
            pack ()

    /// Logits [lines, vocabulary], in the model's precision, after the tokens `ids`, one for each line, at position `step`.
    member _.Step(ids: int64[], step: int) : torch.Tensor =
        let step = before + step
        let tokens = torch.tensor(ids, device = device).view(-1L, 1L)

        let hidden =
            model.Decoder.Blocks
            |> List.indexed
            |> List.fold
                (fun x (index, block) ->
                    selfAttention step index block.SelfAttention x
                    |> crossAttend index (crossAttention block)
                    |> Layer.feedForward pass config block.FeedForward)
                (Forward.embed model tokens)
            |> Layer.norm model.Decoder.FinalNorm

        (head hidden).squeeze 1L

    /// Line i goes on from what line `parents[i]` was, with the first `steps` tokens. There may be fewer lines than before;
    /// the beams of a row stay together.
    member _.Select(parents: int[], steps: int) : unit =
        memory.Select(parents, before + steps)

        pass <-
            { pass with
                Routes =
                    pass.Routes
                    |> Option.map (fun routes -> StepMemory.rowsOf beams parents |> Array.map (fun row -> routes[row]))
            }
