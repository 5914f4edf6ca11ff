namespace Peft

open System
open System.Collections.Generic

/// How many rows of a portion have a counterpart in another one.
type Shared =
    {
        /// Rows whose input occurs in the other portion.
        Inputs: int
        /// Rows whose input and target occur there together.
        Rows: int
        /// All rows of the portion.
        Of: int
    }

/// What the portions of a split have in common. Nothing is removed for it.
type Overlap =
    {
        /// Validation rows that are among the training rows.
        TrainValidation: Shared
        /// Test rows that are among the training rows.
        TrainTest: Shared
        /// Test rows that are among the validation rows.
        ValidationTest: Shared
    }

[<RequireQualifiedAccess>]
module Overlap =
    let private shared (known: Example[]) (rows: Example[]) : Shared =
        let inputs = HashSet(known |> Array.map _.Input)
        let whole = HashSet(known |> Array.map (fun row -> struct (row.Input, row.Target)))

        {
            Inputs = rows |> Seq.filter (fun row -> inputs.Contains row.Input) |> Seq.length
            Rows =
                rows
                |> Seq.filter (fun row -> whole.Contains(struct (row.Input, row.Target)))
                |> Seq.length
            Of = rows.Length
        }

    /// Counts what training, validation and test rows have in common.
    let ofRows (train: Example[]) (validation: Example[]) (test: Example[]) : Overlap =
        {
            TrainValidation = shared train validation
            TrainTest = shared train test
            ValidationTest = shared validation test
        }

    /// The counts in words.
    let describe (overlap: Overlap) : string =
        let tell (rows: string) (others: string) (shared: Shared) =
            $"{shared.Inputs:n0} of {shared.Of:n0} {rows} rows have an input of the {others} rows ({shared.Rows:n0} with the same target)"

        let found =
            [
                "validation", "training", overlap.TrainValidation
                "test", "training", overlap.TrainTest
                "test", "validation", overlap.ValidationTest
            ]
            |> List.filter (fun (_, _, shared) -> shared.Inputs > 0)
            |> List.map (fun (rows, others, shared) -> tell rows others shared)

        if found.IsEmpty then
            "no input occurs in two portions"
        else
            String.Join("; ", found)

/// The files of one portion and what they held: the same for every seed and level.
type FileRows =
    {
        /// Names without their folder, read together.
        Files: string list
        Rows: int
        /// Eight hexadecimal digits of the SHA-256 of the worded rows, which tell one version of the files from another; ""
        /// in old results, which do not say it.
        Digest: string
    }

/// Where the rows of a split come from, and by which rule.
type SplitSource =
    {
        Train: FileRows
        /// None where validation rows are carved from the training rows.
        Validation: FileRows option
        /// Without files where test rows are carved from the training rows.
        Test: FileRows
        /// Whether the files of `Test` are validation files, since there is no labelled test file.
        IsTestedOnValidation: bool
        /// Files that were passed over since they hold no labels.
        UnlabelledValidation: string list
        UnlabelledTest: string list
        Level: Level
        /// Training rows that the level could take from.
        Available: int
        /// What was taken.
        TrainRows: int
        ValidationRows: int
        TestRows: int
        /// The most validation and test rows that were asked for; 0 in old results, which do not say it.
        ValidationLimit: int
        TestLimit: int
        /// Rows without input, which nothing was taken from.
        LeftOut: int
    }

[<RequireQualifiedAccess>]
module SplitSource =
    let private names (files: FileRows) = String.Join(" and ", files.Files)

    let private told (files: FileRows) (use': string) =
        let digest = if files.Digest = "" then "" else $", digest {files.Digest}"
        $"{names files} ({files.Rows:n0} rows{digest}) for {use'}"

    /// Why a portion has no file, in words.
    let internal missing (kind: string) (unlabelled: string list) =
        match unlabelled with
        | [] -> $"there is no {kind} file"
        | files ->
            let names = String.Join(", ", files)
            $"there is no labelled {kind} file ({names} has no labels)"

    /// Why validation or test rows come from where they do.
    let private rule (source: SplitSource) : string =
        if source.Test.Files.IsEmpty then
            "test and validation rows are carved from the training rows, the test rows alike for every seed"
        elif source.IsTestedOnValidation then
            let noTest = missing "test" source.UnlabelledTest
            $"{noTest}, so {names source.Test} gives the test rows and validation rows are carved from the training rows"
        elif source.Validation.IsSome then
            "validation and test rows have files of their own"
        else
            let noValidation = missing "validation" source.UnlabelledValidation
            $"{noValidation}, so validation rows are carved from the training rows"

    let private amount (source: SplitSource) : string =
        let wanted = Level.rows source.Level

        if source.TrainRows < wanted then
            $"{source.TrainRows:n0} training rows, all there are (the {Level.name source.Level} level would take {wanted:n0})"
        else
            $"{source.TrainRows:n0} of {source.Available:n0} training rows"

    /// Files, rule and numbers in words.
    let describe (source: SplitSource) : string =
        [
            told source.Train "training"
            match source.Validation with
            | Some files -> told files "validation"
            | None -> ()
            if not source.Test.Files.IsEmpty then
                told source.Test "testing"
            rule source
            $"{amount source}, {source.ValidationRows:n0} validation rows, {source.TestRows:n0} test rows"
            match source.LeftOut with
            | 0 -> ()
            | 1 -> "1 row without input is left out"
            | count -> $"{count:n0} rows without input are left out"
        ]
        |> String.concat "; "
