namespace Peft.Causal

open Peft
open Peft.Kernels
open TorchSharp

/// A decoder over one batch of inputs, which it reads when it is made: their tokens are `Begin`.
type internal StepDecoder(start: Pass, model: Causal, request: StepRequest) =
    let description = model.Description
    let beams = request.Lines
    let device = request.Inputs.device
    let mutable pass = start
    let mutable model = model

    let inputs, inputMask =
        Forward.moved (Shapes.padId description) request.Inputs request.InputMask

    let rows = int (inputs.size 0)
    let begun = Forward.beginning pass model inputs inputMask
    // Positions of the inputs, with what comes before them.
    let read = begun.Positions.size 1

    let memory =
        StepMemory(description, model.Precision, device, rows, beams, read + int64 request.MostSteps)

    /// For each line: a row's lines are alike.
    let lines (ofRows: torch.Tensor) =
        ofRows.expand(int64 rows, -1L).repeat_interleave(int64 beams, dim = 0L)

    let mutable mask = begun.Mask |> Option.map lines
    let mutable positions = lines begun.Positions

    /// What the inputs lead to, [rows, vocabulary].
    let afterInputs =
        use _ = torch.NewDisposeScope()

        let before = read - begun.Embedded.size 1
        let queries = begun.Positions.narrow (1L, before, read - before)

        let biases =
            Visibility.biases
                description
                {
                    Queries = queries
                    Keys = begun.Positions
                    KeyMask = begun.Mask
                }

        let sequences =
            Sequences(pass, description, biases, Array.ofList (Forward.prefix model)) :> IAttending

        Forward.prefix model
        |> List.iteri (fun block ->
            Option.iter (fun (keys: torch.Tensor, values: torch.Tensor) ->
                let ofRows (x: torch.Tensor) =
                    x.transpose(1L, 2L).expand(int64 rows, -1L, -1L, -1L)

                memory.Write(block, 0L, ofRows keys, ofRows values)))

        let attending =
            { new IAttending with
                member _.Attend(block, q, k, v) =
                    memory.Write(block, before, k, v)
                    sequences.Attend(block, q, k, v)
            }

        let last =
            Forward.placed pass model queries begun.Embedded
            |> Forward.run pass model (Forward.turning model queries) attending
            |> List.last

        (Forward.head pass model (last.narrow (1L, last.size 1 - 1L, 1L))).squeeze(1L).MoveToOuterDisposeScope()

    let needsBias =
        description.Positions = Positions.Alibi
        || List.exists Option.isSome description.Windows

    /// A step's attention over what is there and itself; `count` positions in all.
    let attending (biases: torch.Tensor option[]) (count: int64) =
        { new IAttending with
            member _.Attend(block, q, k, v) =
                memory.Write(block, count - 1L, k, v)
                Block.attend pass description biases[block] q (memory.Keys(block, count)) (memory.Values(block, count))
        }

    let biasesAt (mask: torch.Tensor option) (keys: torch.Tensor) : torch.Tensor option[] =
        if needsBias || mask.IsSome then
            Visibility.biases
                description
                {
                    Queries = keys.narrow (1L, keys.size 1 - 1L, 1L)
                    Keys = keys
                    KeyMask = mask
                }
            |> Array.map Some
        else
            Array.create description.Layers None

    let packing = Packing(request.MostSteps)

    interface IStepDecoder with
        member _.Begin =
            let ids = inputs.cpu().data<int64>().ToArray()
            Array.chunkBySize (int (inputs.size 1)) ids

        member _.ShouldLeave isDone =
            let finished = isDone |> Array.filter id |> Array.length

            // Copying the memory costs about as much as a step of the rows it saves.
            finished < isDone.Length && float finished >= 0.25 * float isDone.Length

        member _.Prepare step =
            if packing.IsTime(step, fun () -> Causal.leaves model |> List.map snd) then
                model <- Causal.pack model

        member _.Step(ids, step) =
            if step = 0 then
                afterInputs.repeat_interleave (int64 beams, dim = 0L)
            else
                let count = read + int64 step

                // The mask and the positions of all lines, with those of the steps.
                let steps = torch.arange (1L, int64 step + 1L, dtype = torch.int64, device = device)

                let keys =
                    torch.cat ([| positions; positions.narrow(1L, read - 1L, 1L).add steps |], 1L)

                let seen =
                    mask
                    |> Option.map (fun mask -> torch.cat ([| mask; mask.new_ones (mask.size 0, int64 step) |], 1L))

                let now = keys.narrow (1L, count - 1L, 1L)
                let tokens = torch.tensor(ids, device = device).view(-1L, 1L)

                let last =
                    Forward.lookUp model tokens
                    |> Forward.placed pass model now
                    |> Forward.run pass model (Forward.turning model now) (attending (biasesAt seen keys) count)
                    |> List.last

                (Forward.head pass model last).squeeze 1L

        member _.Select(parents, steps) =
            memory.Select(parents, read, read + int64 steps - 1L)

            if int64 parents.Length <> positions.size 0 then
                use index = torch.tensor (Array.map int64 parents, device = device)
                mask <- mask |> Option.map (fun mask -> mask.index_select (0L, index))
                positions <- positions.index_select (0L, index)

            pass <-
                { pass with
                    Routes =
                        pass.Routes
                        |> Option.map (fun routes ->
                            StepMemory.RowsOf(beams, parents) |> Array.map (fun row -> routes[row]))
                }

[<RequireQualifiedAccess>]
module internal StepDecoder =
    /// Reads the inputs, and stands before the first token of an answer.
    let start (pass: Pass) (model: Causal) (request: StepRequest) : IStepDecoder = StepDecoder(pass, model, request)
