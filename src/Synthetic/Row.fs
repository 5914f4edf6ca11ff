namespace Peft.Synthetic

/// One row of a generated task: what the model reads and what it should write.
type Row = { Input: string; Target: string }
