namespace Peft.Synthetic

open System.Collections.Generic
open Peft

/// A generated task: an endless stream of rows for each seed. `TaskDefinition` words them.
[<ReferenceEquality>]
type SyntheticTask =
    {
        /// The name of its folder.
        Name: string
        /// The names of its two columns: what is read, what is written.
        Columns: string * string
        /// The answers of a labelled task; empty where text is asked for.
        Labels: string[]
        /// Row `index` of the endless stream of a seed.
        Row: int -> int -> Example
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module SyntheticTask =
    /// The first `count` rows of a stream, without those whose input came before.
    let distinct (task: SyntheticTask) (seed: int) (count: int) : Example[] =
        let seen = HashSet<string>()

        Seq.initInfinite (task.Row seed)
        |> Seq.filter (fun row -> seen.Add row.Input)
        |> Seq.truncate count
        |> Array.ofSeq

    /// The label of row `index`, so that as many rows in a row as there are labels hold each of them once, in an order of
    /// their own.
    let internal balanced (stream: string) (labels: string[]) (seed: int) (index: int) : string =
        (Chance.ofRow $"{stream} labels" seed (index / labels.Length)).Shuffle(labels)[index % labels.Length]
