namespace Peft

open TorchSharp

/// A model's decoder, token by token, over a batch of rows with some lines each: one for greedy decoding, or the beams of a
/// search. It remembers the keys and values of what it has seen.
type IStepDecoder =
    /// The tokens with which each row begins, all of one length, the same for every line of a row: an encoder-decoder's start
    /// token; a decoder-only model's prompt, padded on the left. The last of them is the first that `Step` is given.
    abstract Begin: int64[][]

    /// To be called before each step of a generation, outside of the scope that frees what the step leaves behind.
    abstract Prepare: step: int -> unit

    /// Logits [lines, vocabulary], in the model's precision, after the tokens `ids`, one for each line, at step `step` from 0:
    /// the next one, or one that has been, and what came after that is then forgotten.
    abstract Step: ids: int64[] * step: int -> torch.Tensor

    /// Line i goes on from what line `parents[i]` was, with the first `steps` steps. There may be fewer lines than before; the
    /// lines of a row stay together, and come from one row.
    abstract Select: parents: int[] * steps: int -> unit

    /// Whether it pays to go on without the rows that are done.
    abstract ShouldLeave: isDone: bool[] -> bool

/// What is to be decoded.
[<ReferenceEquality>]
type StepRequest =
    {
        /// [rows, input length] int64.
        Inputs: torch.Tensor
        /// [rows, input length] int64, 1 where there is a token; none where every row fills its length.
        InputMask: torch.Tensor option
        /// Lines of each row.
        Lines: int
        /// Steps at most.
        MostSteps: int
    }
