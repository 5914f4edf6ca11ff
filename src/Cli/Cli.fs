module Peft.Cli

open Argu

/// The commands of `peft`.
type Command =
    | [<CliPrefix(CliPrefix.None)>] Choose of ParseResults<ChooseOption>
    | [<CliPrefix(CliPrefix.None)>] Sweep of ParseResults<SweepOption>
    | [<CliPrefix(CliPrefix.None)>] Search of ParseResults<SearchOption>
    | [<CliPrefix(CliPrefix.None)>] Train of ParseResults<SweepOption>
    | [<CliPrefix(CliPrefix.None)>] Evaluate of ParseResults<ModelOption>
    | [<CliPrefix(CliPrefix.None)>] Generate of ParseResults<ModelOption>
    | [<CliPrefix(CliPrefix.None)>] Download of ParseResults<DownloadOption>
    | [<CliPrefix(CliPrefix.None)>] Pretrain of ParseResults<PretrainOption>
    | [<CliPrefix(CliPrefix.None)>] Params of ParseResults<ParamsOption>
    | [<CliPrefix(CliPrefix.None)>] Plan of ParseResults<PlanOption>
    | [<CliPrefix(CliPrefix.None)>] Bench of ParseResults<BenchOption>
    | [<CliPrefix(CliPrefix.None)>] Adapters of ParseResults<AdaptersOption>
    | [<CliPrefix(CliPrefix.None)>] Merge of ParseResults<MergeOption>
    | [<SubCommand; CliPrefix(CliPrefix.None)>] Paper
    | [<CliPrefix(CliPrefix.None)>] Recommend of ParseResults<RecommendOption>
    | [<CliPrefix(CliPrefix.None)>] Import of ParseResults<ImportOption>
    | [<CliPrefix(CliPrefix.None)>] Compare of ParseResults<CompareOption>
    | [<CliPrefix(CliPrefix.None)>] Table of ParseResults<TableOption>
    | [<CliPrefix(CliPrefix.None)>] Report of ParseResults<ReportOption>
    | [<CliPrefix(CliPrefix.None)>] Doctor of ParseResults<DoctorOption>
    /// Is answered before options are read.
    | [<SubCommand; CliPrefix(CliPrefix.None)>] Completion

    interface IArgParserTemplate with
        member command.Usage =
            match command with
            | Choose _ ->
                "Choose a technique for your rows within a time budget, train it, and say what the choice rests on."
            | Sweep _ -> "Train and compare techniques on tasks, and print the paper's Table 1."
            | Search _ ->
                "Search learning rates: as many trials for every technique on every task, judged by validation rows."
            | Train _ -> "Train one technique on one task and keep the adapter."
            | Evaluate _ -> "Score a model, with or without an adapter, on a task's test rows."
            | Generate _ -> "Answer texts with a model, with or without an adapter."
            | Download _ -> "Fetch models, adapters and data sets of the hub into Hugging Face's cache."
            | Pretrain _ -> "Train a small T5 from random weights: span corruption, then instructions."
            | Params _ -> "Count trained and total parameters of any size, technique and placement, without weights."
            | Plan _ -> "Tell what an experiment would train, how much memory and time it would take."
            | Bench _ -> "Measure training steps, decoding and files on this machine, beside its matrix product's peak."
            | Adapters _ -> "List, inspect or convert adapter folders, this project's and Hugging Face peft's."
            | Merge _ -> "Write an adapter and its base as one plain Hugging Face checkpoint."
            | Paper -> "Recompute the paper's Tables 5, 6 and Figure 1 and audit its conclusions."
            | Recommend _ -> "Rank the techniques for your task, data and limits, with the evidence."
            | Import _ -> "Read results of others (peft's method_comparison, lm-evaluation-harness) as evidence."
            | Compare _ -> "Compare anyone's predictions on the same test rows: tests, intervals, Holm's correction."
            | Table _ -> "Print the paper's tables and figures of a folder of results."
            | Report _ -> "Write a report of a folder of results: one HTML page, Markdown, CSV, LaTeX and figures."
            | Doctor _ -> "Tell what this machine has for the program, and what to do about what it lacks."
            | Completion -> "Print the script that completes peft's words in bash, zsh or powershell."

let private carryOut (command: Command) : int =
    match command with
    | Choose options -> ChooseCommand.run options
    | Sweep options -> SweepCommand.sweep options
    | Search options -> SearchCommand.run options
    | Train options -> SweepCommand.train options
    | Evaluate options -> ModelCommands.evaluate options
    | Generate options -> ModelCommands.generate options
    | Download options -> DownloadCommand.run options
    | Pretrain options -> PretrainCommand.run options
    | Params options -> CountCommands.parameters options
    | Plan options -> CountCommands.plan options
    | Bench options -> BenchCommand.run options
    | Adapters options -> AdapterCommands.adapters options
    | Merge options -> AdapterCommands.merge options
    | Paper -> AnswerCommands.paper ()
    | Recommend options -> AnswerCommands.recommend options
    | Import options -> ImportCommand.run options
    | Compare options -> CompareCommand.run options
    | Table options -> AnswerCommands.table options
    | Report options -> ReportCommand.run options
    | Doctor options -> DoctorCommand.run options
    | Completion -> 0

[<EntryPoint>]
let main arguments =
    Guard.run (fun () ->
        let parser = ArgumentParser.Create<Command>(programName = "peft")

        match Asked.ofWords parser (List.ofArray arguments) with
        | Asked.Page text
        | Asked.Script text ->
            printfn $"{text}"
            0
        | Asked.Command ->
            // The doctor tells what is wrong where it does not load.
            if Array.head arguments <> "doctor" then
                Native.ensure () |> ignore

            Kernels.Kernel.readSwitches ()

            parser.ParseCommandLine(inputs = arguments, raiseOnUsage = true)
            |> _.GetSubCommand()
            |> carryOut)
