namespace Peft

open System
open System.IO
open System.IO.Compression

/// Result files: a folder of them, or one file of many runs, as far as they can be read.
[<RequireQualifiedAccess>]
module Results =
    /// The largest result file; the largest known ones have some kilobytes.
    let private mostResult = 16L <<< 20

    /// The largest file of many runs, unpacked.
    let private mostRuns = 1L <<< 30

    let private untouched =
        "Move it away or name another folder with --results; it was left untouched."

    /// Writes a run's result file, whole or not at all.
    let write (results: string) (run: Run) : unit =
        Files.writeAtomically (Run.path results run.Experiment) (RunJson.text run)

    /// Reads a result file; `UserError` where it is damaged or of an unknown schema.
    let readFile (file: string) : Run =
        let text = Files.readText mostResult file
        let stem = string (Path.GetFileNameWithoutExtension file)

        try
            RunJson.parse stem text
        with UserError problem ->
            userError $"{Printable.line file} {problem}. {untouched}"

    let private checkId (file: string) (run: Run) : unit =
        let id = Experiment.id run.Experiment

        if run.Id <> id then
            userError
                $"{file} states the id {Printable.short 40 run.Id}, and its experiment has the id {id}: it was changed by hand. Move it away and run the experiment again; it was left untouched."

    /// Refuses a result under a name or id that is not its experiment's: a copy or a renamed file would count twice.
    let private checkIdentity (file: string) (run: Run) : Run =
        if Path.GetFileName file <> run.Name + ".json" then
            userError
                $"{Printable.line file} holds the result of {run.Name}.json: a copied or renamed result does not count. Give it that name, or move it away; it was left untouched."

        checkId (Printable.line file) run
        run

    let private partition (found: Result<Run, string> list) : Run list * string list =
        found |> List.choose Result.toOption,
        found
        |> List.choose (function
            | Error problem -> Some problem
            | Ok _ -> None)

    let private ofFolder (folder: string) : Run list * string list =
        let tryRead file =
            try
                Ok(readFile file |> checkIdentity file)
            with UserError problem ->
                Error problem

        Directory.GetFiles(folder, "*.json")
        |> Array.sort
        |> Array.map tryRead
        |> List.ofArray
        |> partition

    /// The lines of a file, unpacked where its name ends in `.gz`.
    let private linesOf (file: string) : string[] =
        try
            use stream = Files.openRegular file

            use unpacked: Stream =
                if file.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) then
                    new GZipStream(stream, CompressionMode.Decompress)
                else
                    stream

            use reader = new StreamReader(unpacked)
            let lines = ResizeArray()
            let mutable letters = 0L

            while not reader.EndOfStream do
                match reader.ReadLine() with
                | null -> ()
                | line ->
                    letters <- letters + int64 line.Length

                    if letters > mostRuns then
                        userError
                            $"{Printable.line file} holds more than {mostRuns >>> 20} MiB of text. Is it a file of runs?"

                    lines.Add line

            lines.ToArray()
        with
        | :? InvalidDataException
        | :? IOException as error -> userError $"{Printable.line file} cannot be read: {Printable.line error.Message}"

    let private ofFile (file: string) : Run list * string list =
        let tryRead number (line: string) =
            let place = $"{Printable.line file}, line {number + 1},"

            try
                let run = RunJson.parse "" line
                checkId place run
                Ok run
            with UserError problem ->
                Error(
                    if problem.StartsWith place then
                        problem
                    else
                        $"{place} {problem}."
                )

        let runs, problems =
            linesOf file
            |> Array.mapi (fun number line -> number, line)
            |> Array.filter (fun (_, line) -> not (String.IsNullOrWhiteSpace line))
            |> Array.map (fun (number, line) -> tryRead number line)
            |> List.ofArray
            |> partition

        let twice =
            runs
            |> List.countBy _.Id
            |> List.filter (fun (_, count) -> count > 1)
            |> List.map (fun (id, count) ->
                $"{Printable.line file} holds the run {id} {count} times; the first counts.")

        List.distinctBy _.Id runs, problems @ twice

    /// Whether a source of results is one file of many runs, which has no predictions beside it.
    let isRunsFile (source: string) : bool = File.Exists source

    /// Every result in a folder, in order of file name, or in a file of many runs, in its order; and a line for each file or
    /// line that is none, is damaged, or has another name or id than its experiment: whoever prints tables of the rest
    /// prints these lines too. An experiment has one name, so none counts twice. `UserError` where there is no such source.
    [<CompiledName "Read">]
    let read (source: string) : Run list * string list =
        if Directory.Exists source then
            ofFolder source
        elif File.Exists source then
            ofFile source
        else
            userError
                $"{source} does not exist. Name the folder that `--results` of a run or sweep named, or a file of runs."

    /// Writes runs into one file, a line each, packed where its name ends in `.gz`. The same runs give the same bytes.
    let writeFile (file: string) (runs: Run list) : unit =
        let lines =
            runs |> List.map (fun run -> RunJson.lineOf run + "\n") |> String.concat ""

        if file.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) then
            Files.replace file (fun stream ->
                use packed = new GZipStream(stream, CompressionLevel.SmallestSize, leaveOpen = true)
                packed.Write(ReadOnlySpan(Text.UTF8Encoding(false).GetBytes lines)))
        else
            Files.writeAtomically file lines
