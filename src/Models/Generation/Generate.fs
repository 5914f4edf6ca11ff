namespace Peft

open Peft.Kernels
open TorchSharp

/// Text generation with a key/value cache. Rows that have finished leave the batch.
[<RequireQualifiedAccess>]
module Generate =
    /// One line's tokens, what its row began with first, and its score so far.
    type private Line = { Tokens: int64[]; Score: float }

    /// What a whole generation has in common.
    [<ReferenceEquality>]
    type private Work =
        {
            Decoding: Decoding
            Decoder: IStepDecoder
            /// Tokens that every row began with.
            Begun: int
            /// Whatever ends a line.
            Eos: int64[]
            Pad: int64
        }

    let private toHypothesis (work: Work) (line: Line) : Hypothesis =
        {
            Ids = line.Tokens |> Array.skip work.Begun |> Array.map int
            Score = line.Score
        }

    /// Scores of what comes after the lines.
    let private stepped (work: Work) (step: int) (lines: Line[]) =
        work.Decoder.Step(lines |> Array.map (_.Tokens >> Array.last), step)

    let private constrained (work: Work) (step: int) (lines: Line[]) (scores: torch.Tensor) =
        Constraint.apply work.Decoding work.Eos step (lines |> Array.map _.Tokens) scores

    /// The most likely token of each line and its log-probability.
    let private nextGreedy (work: Work) (step: int) (lines: Line[]) =
        work.Decoder.Prepare step
        use _ = torch.NewDisposeScope()
        let scores = stepped work step lines |> constrained work step lines

        Array.map2
            (fun (best: Highest) normaliser -> best.Ids[0], best.Values[0] - normaliser)
            (Scores.highest 1 scores)
            (Scores.logSumExp scores)

    let private greedy (work: Work) : Line[] =
        let results =
            work.Decoder.Begin |> Array.map (fun tokens -> { Tokens = tokens; Score = 0.0 })

        let ends (line: Line) =
            line.Tokens.Length > work.Begun
            && Array.contains (Array.last line.Tokens) work.Eos

        let rec loop (live: int[]) step =
            if
                step < work.Decoding.MaxNewTokens
                && live |> Array.exists (fun row -> not (ends results[row]))
            then
                // A finished row that has not left yet is fed on; what it says is not kept.
                let lines =
                    live
                    |> Array.map (fun row ->
                        let line = results[row]
                        let missing = step + work.Begun - line.Tokens.Length

                        { line with
                            Tokens = Array.append line.Tokens (Array.create missing work.Pad)
                        })

                nextGreedy work step lines
                |> Array.iteri (fun place (token, logProbability) ->
                    let line = results[live[place]]

                    if not (ends line) then
                        results[live[place]] <-
                            {
                                Tokens = Array.append line.Tokens [| token |]
                                Score = line.Score + float logProbability
                            })

                let isDone = live |> Array.map (fun row -> ends results[row])

                if work.Decoder.ShouldLeave isDone then
                    let kept = Array.indexed isDone |> Array.filter (snd >> not) |> Array.map fst
                    work.Decoder.Select(kept, step + 1)
                    loop (kept |> Array.map (fun place -> live[place])) (step + 1)
                else
                    loop live (step + 1)

        loop (Array.init results.Length id) 0
        results

    /// A row of a beam search: its running beams, best first, and at most as many finished hypotheses, best first.
    type private Search =
        {
            Running: Line[]
            Finished: Line list
            IsDone: bool
        }

    /// One of the 2 · beams best continuations of a row.
    type private Candidate =
        { Parent: int; Line: Line; IsEnd: bool }

    /// The 2 · beams best continuations of every row, best first: they are among the 2 · beams best of each of its lines.
    let private candidates (work: Work) step (rows: Search[]) =
        work.Decoder.Prepare step
        use _ = torch.NewDisposeScope()
        let decoding = work.Decoding
        let lines = rows |> Array.collect _.Running
        let logits = stepped work step lines

        let normalisers, scores =
            // What divides scores must divide log-probabilities; what forbids tokens may do so before.
            if decoding.RepetitionPenalty <> 1.0 then
                Array.zeroCreate lines.Length, logits.``to``(torch.float32).log_softmax 1L
            else
                Scores.logSumExp logits, logits

        let best =
            scores |> constrained work step lines |> Scores.highest (2 * decoding.Beams)

        let continuations (row: int) (parent: int) =
            let place = row * decoding.Beams + parent
            let line, best = lines[place], best[place]

            Array.map2
                (fun (value: float32) token ->
                    let score = value - normalisers[place] + float32 line.Score

                    {
                        Parent = parent
                        Line =
                            {
                                Tokens = Array.append line.Tokens [| token |]
                                Score = float score
                            }
                        IsEnd = Array.contains token work.Eos || step + 1 = decoding.MaxNewTokens
                    })
                best.Values
                best.Ids

        Array.init rows.Length (fun row ->
            // Of equals the first comes first: the sort of lists keeps their order.
            List.init decoding.Beams (continuations row >> List.ofArray)
            |> List.concat
            |> List.sortByDescending _.Line.Score
            |> List.truncate (2 * decoding.Beams)
            |> Array.ofList)

    let private isHopeless (decoding: Decoding) length (running: Line[]) (finished: Line list) =
        let reach =
            if decoding.EarlyStopping = Exhaustive && decoding.LengthPenalty > 0.0 then
                decoding.MaxNewTokens
            else
                length

        finished.Length = decoding.Beams
        && running[0].Score / (float reach ** decoding.LengthPenalty)
           <= (List.last finished).Score

    /// transformers 5's rules: among the candidates, the best `beams` that go on run on; an end counts only among the
    /// first `beams`.
    let private advance (decoding: Decoding) step (row: Search) (found: Candidate[]) : Search * int[] =
        let length = step + 1

        let running =
            found
            |> Array.filter (fun one -> not one.IsEnd)
            |> Array.truncate decoding.Beams

        let ended =
            found
            |> Array.take decoding.Beams
            |> Array.filter (fun one -> one.IsEnd && one.Line.Score > -infinity)
            |> Array.map (fun one ->
                { one.Line with
                    Score = one.Line.Score / (float length ** decoding.LengthPenalty)
                })
            |> List.ofArray

        let finished =
            row.Finished @ ended
            |> List.sortByDescending _.Score
            |> List.truncate decoding.Beams

        let isFull = finished.Length = decoding.Beams

        let isDone =
            running.Length < decoding.Beams
            // What leads nowhere fills up the beams where fewer may come next.
            || running |> Array.forall (fun one -> one.Line.Score = -infinity)
            || (isFull && decoding.EarlyStopping = AtFullBeams)
            || isHopeless decoding length (running |> Array.map _.Line) finished

        if isDone then
            { row with
                Finished = finished
                IsDone = true
            },
            Array.init decoding.Beams id
        else
            {
                Running = running |> Array.map _.Line
                Finished = finished
                IsDone = false
            },
            running |> Array.map _.Parent

    /// A row that is done may wait for others to leave with it: it is fed on, and what it says is not kept.
    let private wait (work: Work) (row: Search) =
        let padded (line: Line) =
            { line with
                Tokens = Array.append line.Tokens [| work.Pad |]
            }

        { row with
            Running = row.Running |> Array.map padded
        }

    let private beam (work: Work) : Line list[] =
        let beams = work.Decoding.Beams

        // All beams start alike; only the first may be continued, or every beam would be the same.
        let start (tokens: int64[]) =
            {
                Running =
                    Array.init beams (fun beam ->
                        {
                            Tokens = tokens
                            Score = if beam = 0 then 0.0 else -infinity
                        })
                Finished = []
                IsDone = false
            }

        let results = work.Decoder.Begin |> Array.map start

        let rec loop (live: int[]) step =
            let searches = live |> Array.map (fun row -> results[row])
            let found = candidates work step searches

            let parents =
                live
                |> Array.mapi (fun place row ->
                    let next, parents =
                        if results[row].IsDone then
                            results[row], Array.init beams id
                        else
                            advance work.Decoding step results[row] found[place]

                    results[row] <- if next.IsDone then wait work next else next
                    parents |> Array.map (fun parent -> place * beams + parent))

            let isDone = live |> Array.map (fun row -> results[row].IsDone)

            if not (Array.forall id isDone) then
                if work.Decoder.ShouldLeave isDone then
                    let kept = Array.indexed isDone |> Array.filter (snd >> not) |> Array.map fst
                    work.Decoder.Select(kept |> Array.collect (fun place -> parents[place]), step + 1)
                    loop (kept |> Array.map (fun place -> live[place])) (step + 1)
                else
                    work.Decoder.Select(Array.concat parents, step + 1)
                    loop live (step + 1)

        loop (Array.init results.Length id) 0
        results |> Array.map _.Finished

    let private check (decoding: Decoding) =
        let refuse (what: string) = invalidArg (nameof decoding) what

        if
            decoding.Beams < 1
            || decoding.Returned < 1
            || decoding.Returned > decoding.Beams
        then
            refuse $"{decoding.Returned} of {decoding.Beams} beams cannot be returned"

        if decoding.MaxNewTokens < 1 then
            refuse $"MaxNewTokens is {decoding.MaxNewTokens}, the least is 1"

        if decoding.NoRepeatNgram = 1 then
            refuse "NoRepeatNgram is 1, the least that leaves a choice is 2 (0 is off)"

        match decoding.Among with
        | Some trie when trie.IsEnd -> refuse "Among holds no answer"
        | Some _ when decoding.MinNewTokens > 0 || decoding.NoRepeatNgram > 0 ->
            refuse "Among leaves a choice of answers, and MinNewTokens or NoRepeatNgram may take it away"
        | _ -> ()

    /// `ranked` are sequences to be ranked before anything is generated.
    let private along
        (pass: Pass)
        (ranked: int64[][])
        (decoding: Decoding)
        (model: Model)
        (ids: torch.Tensor)
        (mask: torch.Tensor option)
        : Hypothesis list[] * float[][] =
        check decoding
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        let decoder =
            model.Steps
                pass
                {
                    Inputs = ids
                    InputMask = mask
                    Lines = decoding.Beams
                    MostSteps = ranked |> Array.fold (fun most one -> max most one.Length) decoding.MaxNewTokens
                }

        let work =
            {
                Decoding = decoding
                Decoder = decoder
                Begun = decoder.Begin[0].Length
                Eos = model.Shape.EosIds |> List.map int64 |> Array.ofList
                Pad = int64 model.Shape.PadId
            }

        let likelihoods = Likelihood.means decoder decoding.Beams ranked

        let found =
            if decoding.Beams = 1 then
                greedy work |> Array.map (fun line -> [ toHypothesis work line ])
            else
                beam work
                |> Array.map (List.truncate decoding.Returned >> List.map (toHypothesis work))

        found, likelihoods

    /// For each row of ids [rows, length] (and their mask) its best hypotheses, best first. Merge adapters before:
    /// `Model.merge`.
    let run (decoding: Decoding) (model: Model) (ids: torch.Tensor) (mask: torch.Tensor option) : Hypothesis list[] =
        along Pass.Evaluation [||] decoding model ids mask |> fst

    /// `run`, and for each row how likely the model finds each of these sequences (`Likelihood`): the mean log-probability of
    /// their tokens, by row, then by sequence. Rows are encoded once for both.
    let runRanking
        (sequences: int64[][])
        (decoding: Decoding)
        (model: Model)
        (ids: torch.Tensor)
        (mask: torch.Tensor option)
        : Hypothesis list[] * float[][] =
        along Pass.Evaluation sequences decoding model ids mask

    /// `run` for a routed model (`Model.route`): row i is generated by member `routes[i]`.
    let runRouted
        (routes: int[])
        (decoding: Decoding)
        (model: Model)
        (ids: torch.Tensor)
        (mask: torch.Tensor option)
        : Hypothesis list[] =
        along (Pass.Evaluation.Along routes) [||] decoding model ids mask |> fst
