namespace Peft.T5

open System
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

    /// Beam search with Hugging Face's defaults; one beam is greedy decoding.
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
type internal Cache(start: Pass, model: T5, source: Encoded, beams: int, limit: int) =
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
            (Projection.apply pass (part (crossAttention block)) source.Hidden
             |> Layer.splitHeads config)
                .contiguous())
        |> Array.ofList

    let empty () =
        let shape =
            [|
                int64 (rows * beams)
                int64 config.Heads
                int64 limit
                int64 config.KeyWidth
            |]

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

    let position =
        Position.bias config Stack.Decoder model.Decoder.RelativeBias limit limit

    let select (index: torch.Tensor) (tensors: torch.Tensor[]) =
        for place in 0 .. tensors.Length - 1 do
            let kept = tensors[place].index_select(0L, index)
            tensors[place].Dispose()
            tensors[place] <- kept

    /// Stores this step's keys or values and gives those of all steps so far.
    let extend (cache: torch.Tensor) (step: int) (fresh: torch.Tensor) =
        cache.narrow(2L, int64 step, 1L).copy_ fresh |> ignore
        cache.narrow (2L, 0L, int64 step + 1L)

    let selfAttention step index (layer: Attention) (x: torch.Tensor) =
        let normed = Layer.norm layer.Norm x

        let heads part =
            Projection.apply pass part normed |> Layer.splitHeads config

        let bias = position.narrow(2L, int64 step, 1L).narrow(3L, 0L, int64 step + 1L)

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
            (Layer.norm layer.Norm x |> Projection.apply pass layer.Q).view(lines / int64 beams, int64 beams, -1L)
            |> Layer.splitHeads config

        let mixed = Layer.attend pass maskBias q crossKeys[index] crossValues[index]
        x.add ((Layer.joinHeads mixed).reshape(lines, 1L, -1L) |> Projection.apply pass layer.O)

    /// Logits [lines, vocabulary] float32 after the tokens `ids`, one for each line, at position `step`.
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
                kept
                |> Array.collect (fun row -> Array.init beams (fun beam -> row * int64 beams + int64 beam)),
                device = device
            )

        select rowIndex crossKeys
        select rowIndex crossValues
        select lineIndex keys
        select lineIndex values
        maskBias <- maskBias |> Option.map (fun bias -> bias.index_select (0L, rowIndex))

        pass <-
            { pass with
                Routes =
                    pass.Routes
                    |> Option.map (fun routes -> kept |> Array.map (fun row -> routes[int row]))
            }

/// What may not come next.
[<RequireQualifiedAccess>]
module internal Constraint =
    let private minusInfinity = Single.NegativeInfinity.ToScalar()

    let private penalise (penalty: float) (sequences: int64[][]) (scores: torch.Tensor) =
        let seen =
            torch.tensor(Array.concat sequences, device = scores.device).view(int64 sequences.Length, -1L)

        let found = scores.gather (1L, seen)
        let factor = penalty.ToScalar()

        let changed =
            torch.where (found.lt (0.0.ToScalar()), found.mul factor, found.div factor)

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
            scores.view(-1L).index_fill_(0L, index, minusInfinity) |> ignore

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
