namespace Peft

open System.IO
open System.Text.Json

/// How far a generated task is from what the embedded model was trained on.
[<RequireQualifiedAccess>]
type CheckWording =
    /// The instruction of the embedded data set.
    | Usual
    /// Without any instruction.
    | Bare
    /// Labels are words that have nothing to do with the question, and there is no instruction.
    | Coded

/// A generated task of `scripts/choose-check.fsx`: rows of an embedded data set, few and made harder. All of it follows from
/// the number.
[<NoComparison>]
type CheckTask =
    {
        Number: int
        /// The embedded data set that the rows are of.
        Kind: TaskDefinition
        TrainRows: int
        /// The share of targets, of all portions, that another row's target is put in the place of.
        Wrong: float
        Wording: CheckWording
    }

[<RequireQualifiedAccess>]
module CheckTask =
    let private validationRows = 24
    let private testRows = 50

    /// Training rows that a run of the grid sees, repetitions counted: what makes a check cheap.
    let private examples = 320

    /// Epochs of the grid's runs: 320 examples, between 4 and 10 times each row.
    let epochs (task: CheckTask) : int =
        examples / task.TrainRows |> max 4 |> min 10

    let private codes = [| "amber"; "cedar"; "flint"; "maple"; "ivory"; "slate" |]

    /// The task of a number, from 1: kinds by turns, the rest drawn.
    let ofNumber (number: int) : CheckTask =
        let chance = Chance.ofRow "choose-check" 1 number
        let kind = TaskDefinition.suite[(number - 1) % TaskDefinition.suite.Length]

        let wordings =
            if kind.Labels.IsEmpty || kind.Labels.Length > codes.Length then
                [| CheckWording.Usual; CheckWording.Bare |]
            else
                [| CheckWording.Usual; CheckWording.Bare; CheckWording.Coded |]

        {
            Number = number
            Kind = kind
            TrainRows = chance.Pick [| 30; 40; 60; 80 |]
            Wrong = chance.Pick [| 0.0; 0.0; 0.1; 0.25 |]
            Wording = chance.Pick wordings
        }

    /// A name that no other number has: `07-intent`.
    let name (task: CheckTask) : string = $"{task.Number:D2}-{task.Kind.Name}"

    /// What was made of the kind's rows, in words.
    let describe (task: CheckTask) : string =
        let wording = (string task.Wording).ToLowerInvariant()
        $"{task.TrainRows} rows, {wording} wording, {round (100.0 * task.Wrong):F0} %% wrong targets"

    /// A kind's text after its instruction.
    let private bare (input: string) : string =
        match input.IndexOf "\n\n" with
        | -1 -> input
        | place -> input.Substring(place + 2)

    let private reworded (task: CheckTask) (row: Example) : Example =
        let label = task.Kind.Labels |> List.tryFindIndex ((=) row.Target)

        match task.Wording, label with
        | CheckWording.Usual, _ -> row
        | CheckWording.Coded, Some label ->
            {
                Input = bare row.Input
                Target = codes[label]
            }
        | _ -> { row with Input = bare row.Input }

    /// Writes a folder of training, validation and test rows into `folder`, and gives its path.
    let write (folder: string) (task: CheckTask) : string =
        let chance = Chance.ofRow "choose-check-rows" 1 task.Number
        let pools = Pools.load (Embedded.dataFolder ()) task.Kind
        let path = Path.Combine(folder, name task)
        Files.createFolder path

        let portion (name: string) (pool: Pool) (count: int) =
            let rows = chance.Sample(count, pool.Examples) |> Array.map (reworded task)

            let lines =
                rows
                |> Array.map (fun row ->
                    let target =
                        if chance.Odds task.Wrong then
                            (chance.Pick rows).Target
                        else
                            row.Target

                    JsonSerializer.Serialize({| input = row.Input; target = target |}, Json.line)
                    + "\n")

            Files.writeAtomically (Path.Combine(path, $"{name}.jsonl")) (String.concat "" lines)

        portion "train" pools.Train task.TrainRows
        portion "validation" pools.Validation validationRows
        portion "test" pools.Test testRows
        path
