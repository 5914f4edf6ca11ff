namespace Peft

open Deedle

/// The tables and figures by name.
[<RequireQualifiedAccess>]
module AllTables =
    /// Every table and figure that needs runs only: name, heading, how its numbers are written, function.
    let all: (string * string * NumberStyle * (Settings -> Run list -> Frame<RowKey, string>)) list =
        [
            "table1", "Table 1: score", Fixed 4, Tables.table1In
            "table2",
            "Table 2: score by place in the model",
            Fixed 4,
            (fun settings -> Placed.ofRuns >> Tables.table2In settings)
            "table3", "Table 3: trainable parameters", Plain 4, (fun _ -> Placed.ofRuns >> Tables.table3)
            "table4", "Table 4: epoch of convergence; seconds of run time", Plain 1, Tables.table4In
            "table5", "Table 5: score per 100,000 trainable parameters", Significant 4, Tables.table5In
            "table6", "Table 6: score per minute of run time", Significant 4, Tables.table6In
            "figure1", "Figure 1: run time relative to full fine-tuning", Fixed 2, SpeedUps.figure1In
            "speedups",
            "§3.2: mean speed-up of full fine-tuning over the other techniques",
            Percent,
            SpeedUps.speedUpsIn
            "memory", "Peak memory in MiB", Grouped, Tables.memoryIn
            "learning-curves", "Learning curves: score by number of training rows", Fixed 4, Tables.learningCurvesIn
        ]
