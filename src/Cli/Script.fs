namespace Peft

open System
open Argu

/// What scripts say beside their recipe: their arguments are the command line's options, and a fault is one line. A script
/// whose arguments leave nothing to do (`--help`, `--dry-run`) ends here.
[<RequireQualifiedAccess>]
module Script =
    /// Runs `body`, and ends the script where it gives an exit code or fails.
    let private orExit (body: unit -> Result<'a, int>) : 'a =
        let mutable value = None

        let code =
            Guard.run (fun () ->
                Native.ensure () |> ignore
                Kernels.Kernel.readSwitches ()

                match body () with
                | Ok made ->
                    value <- Some made
                    0
                | Error code -> code)

        match value with
        | Some value when code = 0 -> value
        | _ -> exit code

    /// The value of what stands before a recipe, of technique words for instance; where it fails, the script ends with one line.
    let guarded (body: unit -> 'a) : 'a = orExit (body >> Ok)

    /// The options of a script that does what a command does; none where only help was asked for.
    let private parse<'Options when 'Options :> IArgParserTemplate>
        (command: string)
        (arguments: string[])
        : ParseResults<'Options> option =
        // The first is the script's own name.
        let name = arguments |> Array.tryHead |> Option.defaultValue "script"
        let words = Array.skip (min 1 arguments.Length) arguments
        let parser = ArgumentParser.Create<'Options>(programName = name)

        match Asked.ofOptions command name parser (List.ofArray words) with
        | Some page ->
            printfn $"{page}"
            None
        | None -> Some(parser.ParseCommandLine(inputs = words, raiseOnUsage = true))

    let private codeOf (run: 'Options -> int) (options: 'Options option) : int =
        options |> Option.map run |> Option.defaultValue 0

    /// Runs a recipe's sweep as `peft sweep` would: the script's arguments are its options, and change the recipe. Several
    /// jobs are processes that run the script once more.
    let sweep (arguments: string[]) (session: SessionOptions) (recipe: SessionOptions -> SweepPlan) : Run list =
        orExit (fun () ->
            match parse<SweepOption> "sweep" arguments with
            | None -> Error 0
            | Some options -> SweepCommand.runs options (SweepOptions.planOver (fun () -> session) recipe options))

    /// Runs a search, telling how it goes.
    let search (results: string) (plan: SearchPlan) : Trial list =
        orExit (fun () -> SearchRun.trials results plan)

    /// Chooses a technique as `peft choose` would: the script's arguments are its options.
    let choose (arguments: string[]) : unit =
        exit (
            Guard.run (fun () ->
                Native.ensure () |> ignore
                Kernels.Kernel.readSwitches ()
                parse<ChooseOption> "choose" arguments |> codeOf ChooseCommand.run)
        )

    /// Ends a sweep's script: with 1 where a run failed.
    let finish (runs: Run list) : unit = exit (SweepCommand.exitCode runs)

    /// `scripts/pretrain.fsx`.
    let pretrain (arguments: string[]) : unit =
        exit (Guard.run (fun () -> parse<PretrainOption> "pretrain" arguments |> codeOf PretrainCommand.run))
