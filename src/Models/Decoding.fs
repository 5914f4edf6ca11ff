namespace Peft

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
        /// The answers there may be, as ids with `</s>`; none where any may.
        Among: Trie option
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
            Among = None
        }

    /// Beam search with Hugging Face's defaults; one beam is greedy decoding.
    static member Beam(beams: int, maxNewTokens: int) : Decoding =
        { Decoding.Greedy maxNewTokens with
            Beams = beams
        }

    /// The same, with no other answers than these: ids with `</s>` at their end.
    member decoding.Within(answers: int[][]) : Decoding =
        { decoding with
            Among = answers |> Array.map (Array.map int64) |> Trie.ofSequences |> Some
        }

/// A generated sequence.
type Hypothesis =
    {
        /// Token ids without the start token; `</s>` is last unless the length limit cut it off.
        Ids: int[]
        /// Beams: log-probability / length^penalty. Greedy: the log-probability, among what may come next where `Among` says.
        Score: float
    }
