namespace Peft

open System
open System.Globalization
open System.IO
open Argu
open Peft.Reports
open TorchSharp

/// `peft choose`.
[<RequireQualifiedAccess>]
module ChooseCommand =
    let private planLine (plan: TrialPlan) (families: string list) (seconds: float) : string =
        let rungs =
            plan.Rungs
            |> List.map (fun rung -> $"{rung.Trials} trials of {rung.Examples:N0} rows")
            |> String.concat ", then "

        $"{families.Length} techniques with {rungs} each; the best {min families.Length plan.Finalists} are trained on {plan.Examples:N0} rows with {plan.Seeds} seeds: {TrialPlan.runs families.Length plan} runs, about {Choice.duration seconds}"

    let private standingLines (standings: Standing list) : string list =
        let fixed3 (value: float) =
            value.ToString("F3", CultureInfo.InvariantCulture)

        [
            for place, standing in standings |> Standing.leaders |> List.truncate 6 |> List.indexed do
                let rate = standing.Contender.Peak.ToString("G3", CultureInfo.InvariantCulture)

                $"  {place + 1}. {Contender.name standing.Contender}, rate {rate}: validation loss {fixed3 standing.Loss}, score {fixed3 standing.Score}"
        ]

    /// Tells people how a race goes.
    let private tell (event: RaceEvent) : unit =
        match event with
        | Found lines -> lines |> List.iter (printfn "%s")
        | Planned(plan, families, seconds) -> printfn $"{planLine plan families seconds}"
        | StageBegan(stage, runs) ->
            let unit = if runs = 1 then "run" else "runs"
            printfn $"{stage.Name}: {runs} {unit} of {stage.Rows:N0} rows, at most {stage.Epochs} times each"
        | RungEnded(_, standings) -> standingLines standings |> List.iter (printfn "%s")
        | RunTold(Ended run) when not run.IsFinished ->
            printfn $"  {Experiment.methodName run.Experiment} failed: {run.Error}"
        | RunTold(Ended run) when not run.Epochs.IsEmpty && Console.IsOutputRedirected |> not ->
            printfn $"  {Experiment.methodName run.Experiment}: {Choice.duration run.Timing.Total}"
        | RunTold _ -> ()

    /// The arguments for the processes that help: the race's own, with the number of threads said.
    let private workerArguments (options: ParseResults<ChooseOption>) threads (since: DateTime) command : string list =
        let kept =
            options.GetAllResults()
            |> List.filter (function
                | ChooseOption.Jobs _
                | ChooseOption.Threads _ -> false
                | _ -> true)

        kept
        @ [ ChooseOption.Threads threads; ChooseOption.Worker(since.Ticks, command) ]
        |> options.Parser.PrintCommandLineArguments
        |> List.ofArray

    let private quoted (text: string) =
        if
            text
            |> Seq.exists (fun letter -> not (Char.IsLetterOrDigit letter || "-_./".Contains letter))
        then
            $"'{text}'"
        else
            text

    /// The command that answers with the adapter.
    let private useCommand (question: ChooseQuestion) (adapter: string) : string =
        let data = question.Data

        [
            "peft generate --adapter"
            quoted adapter
            "--model"
            quoted question.Session.ModelFolder
            "--custom"
            quoted data.Path
            for name, value in
                [
                    "--input-column", data.InputColumn
                    "--target-column", data.TargetColumn
                    "--instruction", data.Instruction
                ] do
                match value with
                | Some value ->
                    name
                    quoted value
                | None -> ()
            "'your text'"
        ]
        |> String.concat " "

    /// The report of the finalists with the answer on top.
    let private report (choice: Choice) (lines: string list) : string =
        let folder = Path.Combine(choice.Question.Folder, "report")

        let content =
            Report.create "peft choose" folder (Path.Combine(choice.Question.Folder, "results"))

        Report.write folder { content with Answer = lines }
        Path.Combine(folder, "report.html")

    let private conclude (choice: Choice) : int =
        let lines = Choice.lines choice
        printfn ""
        lines |> List.iter (printfn "%s")
        printfn ""
        choice.Notes |> List.iter (fun note -> printfn $"Note: {note}")
        Files.writeAtomically (Path.Combine(choice.Question.Folder, "answer.txt")) (String.concat "\n" lines + "\n")

        match choice.Adapter with
        | Some adapter ->
            printfn $"The trained adapter is in {adapter}; use it with\n  {useCommand choice.Question adapter}"
            printfn $"The report is {report choice lines}."
        | None -> ()

        printfn
            $"{choice.Runs} runs, {Choice.duration choice.Seconds} of {Choice.duration choice.Question.Budget.TotalSeconds}; everything is in {choice.Question.Folder}."

        if choice.IsStopped then
            eprintfn "Stopped. The same command goes on from here."
            Guard.interrupted
        elif choice.Verdict.IsNone then
            1
        else
            0

    let private assist (question: ChooseQuestion) (since: int64) command : int =
        let source = Guard.stopSource ()
        Worker.stopWithParent source

        try
            Choose.assist question command (DateTime(since, DateTimeKind.Utc)) source.Token
            0
        with :? OperationCanceledException ->
            Guard.interrupted

    /// Chooses a technique for the user's rows, trains it, and says what it rests on.
    let run (options: ParseResults<ChooseOption>) : int =
        let question, threads = ChooseOptions.question options
        Options.useThreads threads

        match options.TryGetResult ChooseOption.Worker with
        | Some(since, command) -> assist question since command
        | None ->
            if question.Jobs > 1 then
                SweepCommand.checkLocks question.Folder

            let since, command = DateTime.UtcNow, Guard.commandLine ()
            let stop = Guard.stopOnCtrlC ()

            use workers =
                new Workers(
                    "choose",
                    question.Jobs - 1,
                    workerArguments options (torch.get_num_threads ()) since command,
                    stop
                )

            let tell event =
                tell event

                match event with
                // Techniques are timed alone.
                | Planned _ -> workers.Start()
                | _ -> ()

            Choose.runWith question command since tell stop |> conclude
