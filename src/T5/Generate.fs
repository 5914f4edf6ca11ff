namespace Peft.T5

open System
open Peft
open TorchSharp

/// When a beam search ends (Hugging Face's `early_stopping`).
type EarlyStopping =
    /// `True`: as soon as there are as many finished hypotheses as beams.
    | AtFullBeams
    /// `False`: when the best running beam, at its present length, cannot beat the worst finished hypothesis.
    | WhenHopeless
    /// `"never"`: when it could not at any length.
    | Exhaustive

/// How text is generated. `Decoding.greedy` is the usual one.
type Decoding =
    {
        /// 1 is greedy decoding.
        Beams: int
        /// Hypotheses given back for each row, best first; at most `Beams`.
        Returned: int
        /// Generated tokens, `</s>` included, the start token not.
        MaxNewTokens: int
        MinNewTokens: int
        /// A finished hypothesis scores its log-probability / length^penalty.
        LengthPenalty: float
        EarlyStopping: EarlyStopping
        /// Divides positive scores of tokens that stand already and multiplies negative ones (Keskar et al. 2019); 1 is off.
        RepetitionPenalty: float
        /// No n-gram of this length appears twice; 0 is off.
        NoRepeatNgram: int
    }

    /// The most likely token at each step.
    static member Greedy(maxNewTokens: int) : Decoding =
        {
            Beams = 1
            Returned = 1
            MaxNewTokens = maxNewTokens
            MinNewTokens = 0
            LengthPenalty = 1.0
            EarlyStopping = WhenHopeless
            RepetitionPenalty = 1.0
            NoRepeatNgram = 0
        }

    /// Beam search with Hugging Face's defaults.
    static member Beam(beams: int, maxNewTokens: int) : Decoding =
        { Decoding.Greedy maxNewTokens with
            Beams = beams
        }

/// A generated sequence.
type Hypothesis =
    {
        /// Token ids without the start token; `</s>` is last unless the length limit cut it off.
        Ids: int[]
        /// Beams: log-probability / length^penalty. Greedy: the log-probability.
        Score: float
    }

/// Keys and values of the decoder's attentions while rows grow token by token. There are `beams` lines for each row;
/// the beams of one row share its cross-attention keys and values.
type private Cache(start: Pass, model: T5, source: Encoded, beams: int, limit: int) =
    let config = model.Config
    let mutable pass = start
    // A prefix (prefix tuning) takes the first positions; the start token comes after it.
    let before = Forward.prefixLength model
    let limit = before + limit
    let rows = int (source.Hidden.size 0)
    let device = source.Hidden.device

    let crossAttention (block: Block) = Option.get block.CrossAttention

    let crossHeads part =
        model.Decoder.Blocks
        |> List.map (fun block ->
            (Projection.apply pass (part (crossAttention block)) source.Hidden |> Layer.splitHeads config).contiguous ())
        |> Array.ofList

    let empty () =
        let shape = [| int64 (rows * beams); int64 config.Heads; int64 limit; int64 config.KeyWidth |]
        Array.init config.DecoderLayers (fun _ -> torch.empty (shape, dtype = model.Precision, device = device))

    let crossKeys, crossValues = crossHeads _.K, crossHeads _.V
    let keys, values = empty (), empty ()

    do
        Forward.prefix model
        |> List.iteri (fun index ->
            Option.iter (fun (prefixKeys: torch.Tensor, prefixValues: torch.Tensor) ->
                keys[index].narrow(2L, 0L, int64 before).copy_ prefixKeys |> ignore
                values[index].narrow(2L, 0L, int64 before).copy_ prefixValues |> ignore))

    let mutable maskBias = source.MaskBias
    let position = Position.bias config Stack.Decoder model.Decoder.RelativeBias limit limit

    let select (index: torch.Tensor) (tensors: torch.Tensor[]) =
        for place in 0 .. tensors.Length - 1 do
            let kept = tensors[place].index_select (0L, index)
            tensors[place].Dispose()
            tensors[place] <- kept

    /// Stores this step's keys or values and gives those of all steps so far.
    let extend (cache: torch.Tensor) (step: int) (fresh: torch.Tensor) =
        cache.narrow(2L, int64 step, 1L).copy_ fresh |> ignore
        cache.narrow (2L, 0L, int64 step + 1L)

    let selfAttention step index (layer: Attention) (x: torch.Tensor) =
        let normed = Layer.norm layer.Norm x
        let heads part = Projection.apply pass part normed |> Layer.splitHeads config
        let bias = position.narrow(2L, int64 step, 1L).narrow (3L, 0L, int64 step + 1L)

        let mixed =
            Layer.attend
                pass
                (Some bias)
                (heads layer.Q)
                (extend keys[index] step (heads layer.K))
                (extend values[index] step (heads layer.V))

        x.add (Layer.joinHeads mixed |> Projection.apply pass layer.O)

    let crossAttend index (layer: Attention) (x: torch.Tensor) =
        let lines = x.size 0
        // The beams of a row are queries of one attention: [rows, beams, heads · d_kv] → [rows, heads, beams, d_kv].
        let q =
            (Layer.norm layer.Norm x |> Projection.apply pass layer.Q).view (lines / int64 beams, int64 beams, -1L)
            |> Layer.splitHeads config

        let mixed = Layer.attend pass maskBias q crossKeys[index] crossValues[index]
        x.add ((Layer.joinHeads mixed).reshape (lines, 1L, -1L) |> Projection.apply pass layer.O)

    /// Logits [lines, vocabulary] float32 after the tokens `ids`, one for each line, at position `step`.
    member _.Step(ids: int64[], step: int) : torch.Tensor =
        let step = before + step
        let tokens = torch.tensor(ids, device = device).view (-1L, 1L)

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

        (Forward.head model hidden).squeeze(1L).``to`` torch.float32

    /// Continues line i with what line `parents[i]` was; the first `steps` positions count.
    member _.Reorder(parents: int64[], steps: int) : unit =
        use _ = torch.NewDisposeScope()
        let index = torch.tensor (parents, device = device)

        for cache in Array.append keys values do
            let used = cache.narrow (2L, 0L, int64 (before + steps))
            used.copy_ (used.index_select (0L, index)) |> ignore

    /// Keeps these rows (with their beams) and forgets the others.
    member _.Keep(kept: int64[]) : unit =
        use rowIndex = torch.tensor (kept, device = device)

        use lineIndex =
            torch.tensor (
                kept |> Array.collect (fun row -> Array.init beams (fun beam -> row * int64 beams + int64 beam)),
                device = device
            )

        select rowIndex crossKeys
        select rowIndex crossValues
        select lineIndex keys
        select lineIndex values
        maskBias <- maskBias |> Option.map (fun bias -> bias.index_select (0L, rowIndex))

        pass <-
            { pass with
                Routes = pass.Routes |> Option.map (fun routes -> kept |> Array.map (fun row -> routes[int row]))
            }

/// What may not come next.
[<RequireQualifiedAccess>]
module private Constraint =
    let private minusInfinity = Single.NegativeInfinity.ToScalar()

    let private penalise (penalty: float) (sequences: int64[][]) (scores: torch.Tensor) =
        let seen = torch.tensor(Array.concat sequences, device = scores.device).view (int64 sequences.Length, -1L)
        let found = scores.gather (1L, seen)
        let factor = penalty.ToScalar()
        let changed = torch.where (found.lt (0.0.ToScalar()), found.mul factor, found.div factor)
        scores.scatter_ (1L, seen, changed) |> ignore

    /// The tokens that would complete an n-gram which the sequence holds already.
    let repeating (size: int) (sequence: int64[]) : int64 list =
        let stem = size - 1

        if sequence.Length < size then
            []
        else
            let last = Array.skip (sequence.Length - stem) sequence

            [
                for start in 0 .. sequence.Length - size do
                    if Array.sub sequence start stem = last then
                        sequence[start + stem]
            ]

    let private forbid (cells: int64[]) (scores: torch.Tensor) =
        if cells.Length > 0 then
            let index = torch.tensor (cells, device = scores.device)
            scores.view(-1L).index_fill_ (0L, index, minusInfinity) |> ignore

    /// Changes scores [lines, vocabulary] in place; `sequences` begin with the start token.
    let apply (decoding: Decoding) (config: Config) (sequences: int64[][]) (scores: torch.Tensor) : unit =
        if decoding.RepetitionPenalty <> 1.0 then
            penalise decoding.RepetitionPenalty sequences scores

        if decoding.NoRepeatNgram > 0 then
            let width = scores.size 1

            let cells =
                sequences
                |> Array.mapi (fun line sequence ->
                    [|
                        for token in repeating decoding.NoRepeatNgram sequence -> int64 line * width + token
                    |])

            forbid (Array.concat cells) scores

        if sequences[0].Length - 1 < decoding.MinNewTokens then
            scores.narrow(1L, int64 config.EosId, 1L).fill_ minusInfinity |> ignore

/// Text generation with a key/value cache. Rows that have finished leave the batch.
[<RequireQualifiedAccess>]
module Generate =
    /// Copying the caches costs about as much as a step of the rows it saves: wait until this share has finished.
    let private leavingShare = 0.25

    let private shouldLeave (isDone: bool[]) =
        let finished = isDone |> Array.filter id |> Array.length
        finished < isDone.Length && float finished >= leavingShare * float isDone.Length

    /// One line's tokens, start token first, and its score so far.
    type private Line = { Tokens: int64[]; Score: float }

    let private toHypothesis (line: Line) : Hypothesis =
        {
            Ids = line.Tokens |> Array.skip 1 |> Array.map int
            Score = line.Score
        }

    let private nextGreedy (decoding: Decoding) (config: Config) (cache: Cache) (step: int) (lines: Line[]) =
        use _ = torch.NewDisposeScope()
        let scores = cache.Step(lines |> Array.map (_.Tokens >> Array.last), step)
        Constraint.apply decoding config (lines |> Array.map _.Tokens) scores
        let struct (best, ids) = scores.max 1L
        let logProbabilities = (best - scores.logsumexp 1L).data<float32>().ToArray()
        Array.zip (ids.data<int64>().ToArray()) logProbabilities

    let private greedy (pass: Pass) (decoding: Decoding) (model: T5) (source: Encoded) : Line[] =
        let config = model.Config
        let cache = Cache(pass, model, source, 1, decoding.MaxNewTokens)
        let rows = int (source.Hidden.size 0)
        let results = Array.create rows { Tokens = [| int64 config.StartId |]; Score = 0.0 }
        let ends (line: Line) = line.Tokens.Length > 1 && Array.last line.Tokens = int64 config.EosId

        let rec loop (live: int[]) step =
            if step < decoding.MaxNewTokens && live |> Array.exists (fun row -> not (ends results[row])) then
                // A finished row that has not left yet is fed on; what it says is not kept.
                let lines = live |> Array.map (fun row ->
                    let line = results[row]
                    let missing = step + 1 - line.Tokens.Length
                    { line with Tokens = Array.append line.Tokens (Array.create missing (int64 config.PadId)) })

                nextGreedy decoding config cache step lines
                |> Array.iteri (fun place (token, logProbability) ->
                    let line = results[live[place]]

                    if not (ends line) then
                        results[live[place]] <-
                            {
                                Tokens = Array.append line.Tokens [| token |]
                                Score = line.Score + float logProbability
                            })

                let isDone = live |> Array.map (fun row -> ends results[row])

                if shouldLeave isDone then
                    let kept = Array.indexed isDone |> Array.filter (snd >> not) |> Array.map fst
                    cache.Keep(Array.map int64 kept)
                    loop (kept |> Array.map (fun place -> live[place])) (step + 1)
                else
                    loop live (step + 1)

        loop (Array.init rows id) 0
        results

    /// A row of a beam search: its running beams, best first, and at most as many finished hypotheses, best first.
    type private Search =
        {
            Running: Line[]
            Finished: Line list
            IsDone: bool
        }

    /// One of the 2 · beams best continuations of a row.
    type private Candidate = { Parent: int; Line: Line; IsEnd: bool }

    /// The 2 · beams best continuations of every row, best first.
    let private candidates (decoding: Decoding) (config: Config) (cache: Cache) step (rows: Search[]) : Candidate[][] =
        use _ = torch.NewDisposeScope()
        let lines = rows |> Array.collect _.Running
        let scores = cache.Step(lines |> Array.map (_.Tokens >> Array.last), step).log_softmax 1L
        Constraint.apply decoding config (lines |> Array.map _.Tokens) scores
        let width = scores.size 1
        let running = torch.tensor(lines |> Array.map (_.Score >> float32), device = scores.device).unsqueeze 1L
        let all = (scores + running).view (int64 rows.Length, -1L)
        let count = 2 * decoding.Beams
        let struct (best, places) = all.topk count
        let best, places = best.flatten().data<float32>().ToArray(), places.flatten().data<int64>().ToArray()

        Array.init rows.Length (fun row ->
            Array.init count (fun rank ->
                let cell = row * count + rank
                let parent, token = int (places[cell] / width), places[cell] % width

                {
                    Parent = parent
                    Line =
                        {
                            Tokens = Array.append rows[row].Running[parent].Tokens [| token |]
                            Score = float best[cell]
                        }
                    IsEnd = token = int64 config.EosId || step + 1 = decoding.MaxNewTokens
                }))

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
        let running = found |> Array.filter (fun one -> not one.IsEnd) |> Array.truncate decoding.Beams

        let ended =
            found
            |> Array.take decoding.Beams
            |> Array.filter _.IsEnd
            |> Array.map (fun one ->
                { one.Line with
                    Score = one.Line.Score / (float length ** decoding.LengthPenalty)
                })
            |> List.ofArray

        let finished =
            row.Finished @ ended |> List.sortByDescending _.Score |> List.truncate decoding.Beams

        let isFull = finished.Length = decoding.Beams

        let isDone =
            running.Length < decoding.Beams
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
    let private wait (config: Config) (row: Search) =
        let padded (line: Line) =
            { line with
                Tokens = Array.append line.Tokens [| int64 config.PadId |]
            }

        { row with
            Running = row.Running |> Array.map padded
        }

    let private beam (pass: Pass) (decoding: Decoding) (model: T5) (source: Encoded) : Line list[] =
        let config, beams = model.Config, decoding.Beams
        let cache = Cache(pass, model, source, beams, decoding.MaxNewTokens)
        let rows = int (source.Hidden.size 0)

        // All beams start alike; only the first may be continued, or every beam would be the same.
        let start =
            {
                Running =
                    Array.init beams (fun beam ->
                        {
                            Tokens = [| int64 config.StartId |]
                            Score = if beam = 0 then 0.0 else -1e9
                        })
                Finished = []
                IsDone = false
            }

        let results = Array.create rows start

        let rec loop (live: int[]) step =
            let searches = live |> Array.map (fun row -> results[row])
            let found = candidates decoding config cache step searches

            let parents =
                live
                |> Array.mapi (fun place row ->
                    let next, parents =
                        if results[row].IsDone then
                            results[row], Array.init beams id
                        else
                            advance decoding step results[row] found[place]

                    results[row] <- if next.IsDone then wait config next else next
                    parents |> Array.map (fun parent -> int64 (place * beams + parent)))

            let isDone = live |> Array.map (fun row -> results[row].IsDone)

            if not (Array.forall id isDone) then
                cache.Reorder(Array.concat parents, step + 1)

                if shouldLeave isDone then
                    let kept = Array.indexed isDone |> Array.filter (snd >> not) |> Array.map fst
                    cache.Keep(Array.map int64 kept)
                    loop (kept |> Array.map (fun place -> live[place])) (step + 1)
                else
                    loop live (step + 1)

        loop (Array.init rows id) 0
        results |> Array.map _.Finished

    let private check (decoding: Decoding) =
        let refuse (what: string) = invalidArg (nameof decoding) what

        if decoding.Beams < 1 || decoding.Returned < 1 || decoding.Returned > decoding.Beams then
            refuse $"{decoding.Returned} of {decoding.Beams} beams cannot be returned"

        if decoding.MaxNewTokens < 1 then
            refuse $"MaxNewTokens is {decoding.MaxNewTokens}, the least is 1"

        if decoding.NoRepeatNgram = 1 then
            refuse "NoRepeatNgram is 1, the least that leaves a choice is 2 (0 is off)"

    let private along (pass: Pass) (decoding: Decoding) (model: T5) (ids: torch.Tensor) (mask: torch.Tensor option) =
        check decoding
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let source = Forward.encode pass model ids mask

        if decoding.Beams = 1 then
            greedy pass decoding model source |> Array.map (fun line -> [ toHypothesis line ])
        else
            beam pass decoding model source
            |> Array.map (List.truncate decoding.Returned >> List.map toHypothesis)

    /// For each row of ids [rows, length] (and their mask) its best hypotheses, best first. Merge adapters before:
    /// `T5.merge`.
    let run (decoding: Decoding) (model: T5) (ids: torch.Tensor) (mask: torch.Tensor option) : Hypothesis list[] =
        along Pass.Evaluation decoding model ids mask

    /// `run` for a routed model (`T5.route`): row i is generated by member `routes[i]`.
    let runRouted
        (routes: int[])
        (decoding: Decoding)
        (model: T5)
        (ids: torch.Tensor)
        (mask: torch.Tensor option)
        : Hypothesis list[] =
        along (Pass.Evaluation.Along routes) decoding model ids mask
