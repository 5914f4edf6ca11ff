namespace Peft

open System
open Deedle

/// What became of a printed figure when it was computed again from the paper's other tables.
type Verdict =
    /// It agrees within the rounding of the printed digits, its own and those it is computed from.
    | Recomputes
    /// It has the right digits, cut off instead of rounded.
    | CutOff
    | Differs

/// A printed figure beside its recomputed value.
type AuditedFigure =
    {
        Figure: Figure
        /// What the printed inputs give.
        Recomputed: float
        /// What the rounding of the inputs leaves open.
        Range: Interval
        Verdict: Verdict
        /// For one that differs: digits of an input that, read differently, would give it.
        Hints: string list
    }

/// Two techniques' accuracies at one level, and whether the test rows tell them apart.
type NoiseTest =
    {
        Task: string
        Level: Level
        Left: string
        Right: string
        Test: TwoProportion
        /// After Holm's correction over the pairs of the column.
        Adjusted: float
    }

    /// P is 0.05 or more even before the correction.
    member test.IsNoise: bool = test.Test.P >= 0.05

/// A column of Table 1: what stands with the best.
type Best =
    {
        Task: string
        Level: Level
        Technique: string
        /// Techniques whose difference to the best lies within item noise (P >= 0.05 without correction).
        Tied: string list
    }

/// The paper's arithmetic, done again by the functions that serve every run.
[<RequireQualifiedAccess>]
module Arithmetic =
    /// The paper's techniques by name, in its order.
    let techniques: string list = Technique.paper |> List.map Technique.name

    let private tasks = TaskDefinition.paper |> List.map _.Name

    /// The tasks of which the number of test rows is known.
    let classification: string list =
        tasks |> List.filter (fun task -> (Paper.testRows task).IsSome)

    let private verdict (range: Interval) (printed: Printed) : Verdict =
        let slack = 1e-7 * printed.Unit

        if
            range.Low <= printed.Range.High + slack
            && printed.Range.Low - slack <= range.High
        then
            Recomputes
        elif range.Low < printed.Value + printed.Unit && printed.Value - slack <= range.High then
            CutOff
        else
            Differs

    /// Numbers that differ from a printed one in one digit.
    let private slips (printed: Printed) : Printed list =
        [
            for place in 0 .. printed.Text.Length - 1 do
                if Char.IsAsciiDigit printed.Text[place] then
                    for digit in '0' .. '9' do
                        if digit <> printed.Text[place] then
                            Printed.parse (printed.Text.Remove(place, 1).Insert(place, string digit))
        ]

    /// One digit of an input that explains a figure: of the score, or of the seconds.
    let private hints (figure: Figure) : string list =
        match figure.Level with
        | None -> []
        | Some level ->
            let explains (score: Printed) (divisor: float) =
                let range =
                    {
                        Low = score.Range.Low / divisor
                        High = score.Range.High / divisor
                    }

                range.Low > 0.0 && verdict range figure.Printed = Recomputes

            let score = Paper.score figure.Technique level figure.Task
            let parameters = Paper.parameters figure.Technique Placed.allLayers
            let seconds = Paper.seconds figure.Technique level figure.Task

            let told place (printed: Printed) (found: Printed list) =
                found
                |> List.map (fun other -> $"it fits if {place}'s {printed.Text} reads {other.Text}")

            match figure.Quantity, score, parameters, seconds with
            | Quantity.PerParameters, Some score, Some parameters, _ ->
                let divisor = parameters.Value / 1e5

                slips score
                |> List.filter (fun other -> explains other divisor)
                |> told "Table 1" score
            | Quantity.PerMinute, Some score, _, Some seconds ->
                (slips score
                 |> List.filter (fun other -> explains other (seconds.Value / 60.0))
                 |> told "Table 1" score)
                @ (slips seconds
                   |> List.filter (fun other -> other.Value > 0.0 && explains score (other.Value / 60.0))
                   |> told "Table 4" seconds)
            | _ -> []

    let private audited (figure: Figure) (recomputed: float) (range: Interval) : AuditedFigure =
        let verdict = verdict range figure.Printed

        {
            Figure = figure
            Recomputed = recomputed
            Range = range
            Verdict = verdict
            Hints = if verdict = Differs then hints figure else []
        }

    /// The mean in a table's cell; nan where it is missing.
    let cell (frame: Frame<RowKey, string>) (row: string) (level: Level option) (column: string) : float =
        let key: RowKey = row, Level.text level

        match frame.GetRow<Cell>(key).TryGet column |> OptionalValue.asOption with
        | Some cell -> cell.Mean
        | None -> nan

    let private recomputed (make: Run list -> Frame<RowKey, string>) (figures: Figure list) : AuditedFigure list =
        let middle = make Paper.runs
        let low = make (Paper.runsBy _.Range.Low _.Range.High)
        let high = make (Paper.runsBy _.Range.High _.Range.Low)

        figures
        |> List.map (fun figure ->
            let value frame =
                cell frame figure.Technique figure.Level (Tables.title figure.Task)

            audited figure (value middle) { Low = value low; High = value high })

    let private exactly (figure: Figure) (value: float) =
        audited figure value { Low = value; High = value }

    let private speedUps () =
        let frame = SpeedUps.speedUps Paper.runs

        Paper.speedUps
        |> List.map (fun figure ->
            exactly
                figure
                (100.0
                 * cell frame "full fine-tuning's speed-up" figure.Level (Tables.title figure.Task)))

    /// The rows of Table 2 that repeat Table 1.
    let private repeated () =
        Paper.table2
        |> List.filter (fun figure -> figure.Placement = Placed.allLayers)
        |> List.choose (fun figure ->
            Paper.score figure.Technique Medium figure.Task
            |> Option.map (fun printed -> audited figure printed.Value printed.Range))

    /// Trainable parameters from FLAN-T5-XL's shape: width 2,048, attention of the same width, feed-forward 5,120 with a
    /// gate, 24 blocks in each stack, 32,128 tokens in an embedding and an output matrix of their own.
    let private parametersOf (technique: string) (placement: string) : float option =
        let width, inner, blocks, tokens = 2048.0, 5120.0, 24.0, 32128.0
        let attentions = 3.0 * blocks
        let feedForwards = 2.0 * blocks
        // Rank 2, and T-Few's two vectors.
        let lora = 2.0 * (width + width) + 2.0 * width
        let ia3Attention, ia3Dense = 2.0 * (width + width), width + inner
        let ia3 = attentions * ia3Attention + feedForwards * ia3Dense

        match technique, placement with
        | "total", _ ->
            let attention = attentions * 4.0 * width * width
            let feedForward = feedForwards * 3.0 * width * inner
            let norms = (2.0 * blocks + 3.0 * blocks + 2.0) * width
            let positions = 2.0 * 32.0 * 32.0
            Some(2.0 * tokens * width + attention + feedForward + norms + positions)
        | "prompt", _ -> Some(100.0 * width)
        | "bitfit", _ -> Some(attentions * 4.0 * width + feedForwards * (2.0 * inner + width))
        | "paper-lora", "without self-attention" -> Some(blocks * 4.0 * lora)
        | "paper-lora", "without encoder/decoder attention" -> Some(2.0 * blocks * 4.0 * lora)
        | "paper-lora", "without query/output" -> Some(attentions * 2.0 * lora)
        | "paper-lora", place when place = Placed.allLayers -> Some(attentions * 4.0 * lora)
        | "paper-lora", _ -> Some(attentions * 4.0 * lora / 2.0)
        | "paper-ia3", "without attention" -> Some(feedForwards * ia3Dense)
        | "paper-ia3", "without dense activation" -> Some(attentions * ia3Attention)
        | "paper-ia3", place when place = Placed.allLayers -> Some ia3
        | "paper-ia3", _ -> Some(ia3 / 2.0)
        | _ -> None

    let private counted () =
        Paper.table3
        |> List.choose (fun figure -> parametersOf figure.Technique figure.Placement |> Option.map (exactly figure))

    /// Every printed figure that other figures decide: Table 2's repeated rows, Table 3, Tables 5 and 6, the speed-ups.
    let figures () : AuditedFigure list =
        List.concat
            [
                repeated ()
                counted ()
                recomputed Tables.table5 Paper.table5
                recomputed Tables.table6 Paper.table6
                speedUps ()
            ]

    /// Printed accuracies that are no whole number of right answers, rounded or cut; beside each the nearest that is.
    let offGrid () : (Figure * float) list =
        (Paper.table1 @ Paper.table2)
        |> List.choose (fun figure ->
            match Paper.testRows figure.Task with
            | None -> None
            | Some rows ->
                let share = round (figure.Printed.Value * float rows) / float rows
                let next = share + 1.0 / float rows

                let fits value =
                    verdict { Low = value; High = value } figure.Printed <> Differs

                if fits share || fits next then
                    None
                else
                    Some(figure, share))

    let private compared (rows: int) (left: float) (right: float) =
        Statistics.twoProportion left rows right rows

    /// A printed score; nan where there is none.
    let scoreOf (technique: string) (level: Level) (task: string) : float =
        match Paper.score technique level task with
        | Some printed -> printed.Value
        | None -> nan

    /// Every pair of techniques on the classification tasks, level by level.
    let noise () : NoiseTest list =
        [
            for task in classification do
                for level in Level.all do
                    let rows = Paper.testRows task |> Option.defaultValue 1

                    let pairs =
                        [
                            for left in 0 .. techniques.Length - 1 do
                                for right in left + 1 .. techniques.Length - 1 -> techniques[left], techniques[right]
                        ]

                    let tests =
                        pairs
                        |> List.map (fun (left, right) ->
                            compared rows (scoreOf left level task) (scoreOf right level task))

                    let adjusted = tests |> List.map _.P |> Array.ofList |> Statistics.holm

                    for place, ((left, right), test) in List.zip pairs tests |> List.indexed ->
                        {
                            Task = task
                            Level = level
                            Left = left
                            Right = right
                            Test = test
                            Adjusted = adjusted[place]
                        }
        ]

    /// Whether two accuracies differ by no more than chance in the test rows; false where their number is not known.
    let isWithinNoise (task: string) (left: float) (right: float) : bool =
        match Paper.testRows task with
        | Some rows -> (compared rows left right).P >= 0.05
        | None -> false

    /// The best technique of each column of Table 1.
    let best () : Best list =
        [
            for level in Level.all do
                for task in tasks ->
                    let value technique = scoreOf technique level task
                    let top = techniques |> List.maxBy value

                    {
                        Task = task
                        Level = level
                        Technique = top
                        Tied =
                            techniques
                            |> List.filter (fun other -> other <> top && isWithinNoise task (value other) (value top))
                    }
        ]
