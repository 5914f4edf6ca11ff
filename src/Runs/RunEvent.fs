namespace Peft

/// What a sweep tells while it works.
[<NoComparison>]
type RunEvent =
    /// The run `number` (from 1) of `count` begins, or goes on after so many finished epochs.
    | Started of experiment: Experiment * number: int * count: int * resumedEpochs: int
    /// Trained tensors that the first step's gradient did not reach: they will not learn.
    | Unreached of names: string list
    /// A micro-batch is done: its number of all the run's, and its loss in nats per token.
    | Stepped of step: int * steps: int * loss: float
    /// An epoch of at most `epochs` is done, validation included.
    | EpochEnded of log: EpochLog * epochs: int
    /// So many test rows of all are answered.
    | Tested of rows: int * allRows: int
    /// A run of this process has its result file, finished or failed.
    | Ended of Run
    /// The run `number` of `count` had its result already.
    | Skipped of run: Run * number: int * count: int
    /// Another process that works on the same results folder has ended the run `number` of `count`.
    | EndedElsewhere of run: Run * number: int * count: int
    /// Nothing is left to begin, and other processes still have so many runs.
    | Waiting of runs: int
