namespace Peft.T5

open Peft
open Peft.Kernels
open TorchSharp

[<RequireQualifiedAccess>]
module internal Packed =
    /// The same function with the decoder's frozen maps in the order in which oneDNN multiplies, where that pays: for steps of
    /// a few rows.
    let decoder (model: T5) : T5 =
        let isUsedInSteps (site: Site) =
            site.Stack = Decoder
            && not (site.Layer = LayerKind.CrossAttention && (site.Part = K || site.Part = V))

        model
        |> T5.rewrite (fun site projection ->
            if isUsedInSteps site then
                Projection.pack model.Precision projection
            else
                projection)

/// The decoder of a T5 over one batch of encoded rows with `beams` lines each and at most `limit` tokens.
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

    // Where the present step stands; a prefix counts.
    let mutable position = 0

    let attending =
        { new IAttending with
            member _.Self(block, q, k, v) =
                memory.SelfAttention(block, position, q, k, v)

            member _.Cross(block, _, q) = memory.CrossAttention(block, q)
        }

    let packing = Packing limit
    let mutable head = fun (hidden: torch.Tensor) -> Forward.head pass model hidden

    /// The weights that steps read.
    let weights () =
        T5.leaves model
        |> List.filter (fun (name, _) ->
            [ "decoder."; $"{Site.headName}." ]
            |> List.exists (fun start -> name.StartsWith(start, System.StringComparison.Ordinal)))
        |> List.map snd

    let pack () =
        model <- Packed.decoder model

        match model.Head with
        | Some(Dense(Frozen weight)) when weight.dtype = model.Precision ->
            Product.pack weight
            |> Option.iter (fun copy -> head <- Forward.beforeHead model >> Product.packed copy)
        | _ -> ()

    interface IStepDecoder with
        member _.Begin = Array.create (int (source.Hidden.size 0)) [| int64 config.StartId |]

        member _.ShouldLeave isDone =
            let finished = isDone |> Array.filter id |> Array.length

            finished > 0
            && finished < isDone.Length
            && float finished >= memory.LeavingShare * float isDone.Length

        member _.Prepare step =
            if packing.IsTime(step, weights) then
                pack ()

        member _.Step(ids, step) =
            position <- before + step
            let tokens = torch.tensor(ids, device = device).view(-1L, 1L)

            let hidden =
                model.Decoder.Blocks
                |> List.indexed
                |> List.fold
                    (fun x (index, block) -> Block.apply pass config attending index block x)
                    (Forward.embed model Stack.Decoder tokens)
                |> Layer.norm model.Decoder.FinalNorm

            (head hidden).squeeze 1L

        member _.Select(parents, steps) =
            memory.Select(parents, before + steps)

            pass <-
                { pass with
                    Routes =
                        pass.Routes
                        |> Option.map (fun routes ->
                            StepMemory.rowsOf beams parents |> Array.map (fun row -> routes[row]))
                }

[<RequireQualifiedAccess>]
module internal StepDecoder =
    /// Encodes the rows, and stands before their first token.
    let start (pass: Pass) (model: T5) (request: StepRequest) : IStepDecoder =
        let source = Forward.encode pass model request.Inputs request.InputMask
        StepDecoder(pass, model, source, request.Lines, request.MostSteps)
