namespace Peft.Campaigns

open System
open System.Diagnostics
open System.Globalization
open System.IO
open Peft

/// The literate lessons of `docs/lessons`: what they print, beside what their text says that they print (its blocks ```text).
[<RequireQualifiedAccess>]
module Lessons =
    let private opening, closing = "(**\n```text\n", "```\n"

    /// A line that no lesson prints: it ends what a block shows.
    let private mark = "\u001eblock"

    /// The folder of the lessons in a checkout.
    let folder (root: string) : string = Path.Combine(root, "docs", "lessons")

    /// The names of all lessons, in order: `1-first-adapter`.
    let all (root: string) : string list =
        Directory.GetFiles(folder root, "*.fsx")
        |> Array.map (Path.GetFileNameWithoutExtension >> nonNull)
        |> Array.filter (fun name -> Char.IsAsciiDigit name[0])
        |> Array.sort
        |> List.ofArray

    let private path (root: string) (name: string) =
        Path.Combine(folder root, name + ".fsx")

    /// What a lesson's text says that it prints, block by block.
    let shown (source: string) : string list =
        source.Split opening
        |> Array.skip 1
        |> Array.map (fun rest -> rest.Substring(0, rest.IndexOf(closing, StringComparison.Ordinal)).TrimEnd '\n')
        |> List.ofArray

    /// The source with other outputs in its blocks.
    let withShown (outputs: string list) (source: string) : string =
        let parts = source.Split opening

        let filled =
            (List.ofArray parts[1..], outputs)
            ||> List.map2 (fun rest output ->
                opening
                + output
                + "\n"
                + rest.Substring(rest.IndexOf(closing, StringComparison.Ordinal)))

        String.concat "" (parts[0] :: filled)

    /// The lesson as it is run for its blocks: behind each block's code it prints the mark.
    let private marked (root: string) (source: string) : string =
        source
            .Replace(opening, $"printfn \"{mark}\"\n{opening}")
            .Replace("#load \"../../scripts/", "#load @\"" + Path.Combine(root, "scripts") + "/")

    /// Runs a lesson anew, on one thread, for at most `limit`; what it prints, block by block. `UserError` with what it said
    /// where it fails.
    let run (root: string) (limit: TimeSpan) (name: string) : string list =
        let work = Path.Combine(Path.GetTempPath(), $"peft-lesson-{Guid.NewGuid():N}")
        Directory.CreateDirectory work |> ignore

        try
            let script = Path.Combine(work, name + ".fsx")
            File.WriteAllText(script, marked root (File.ReadAllText(path root name)))

            let start =
                ProcessStartInfo(
                    "dotnet",
                    [ "fsi"; "--quiet"; script ],
                    RedirectStandardOutput = true,
                    RedirectStandardError = true
                )

            start.Environment["OMP_NUM_THREADS"] <- "1"
            start.Environment["PEFT_LESSONS"] <- work

            use lesson =
                match Process.Start start with
                | null -> userError "dotnet could not be started."
                | started -> started

            let errors = lesson.StandardError.ReadToEndAsync()
            let output = lesson.StandardOutput.ReadToEndAsync()

            if not (lesson.WaitForExit limit) then
                lesson.Kill true
                userError $"{name} took more than {limit.TotalMinutes:F0} minutes."

            if lesson.ExitCode <> 0 then
                userError $"{name} failed: {Printable.short 2000 (errors.Result + output.Result)}"

            output.Result.ReplaceLineEndings("\n").Split(mark + "\n")
            |> Array.map (fun block -> block.Trim '\n')
            |> fun blocks -> List.ofArray blocks[.. blocks.Length - 2]
        finally
            Directory.Delete(work, recursive = true)

    /// Where the recorded processor's name stands.
    let private processorFile (root: string) =
        Path.Combine(folder root, "processor.txt")

    /// Runs a lesson and writes what it prints into its text.
    let record (root: string) (limit: TimeSpan) (name: string) : unit =
        let outputs = run root limit name
        let file = path root name
        File.WriteAllText(file, withShown outputs (File.ReadAllText file))
        File.WriteAllText(processorFile root, Processor.name () + "\n")

    let private number (word: string) : float option =
        match Double.TryParse(word.Trim(',', ';', ':', ')', '('), NumberStyles.Float, CultureInfo.InvariantCulture) with
        | true, value -> Some value
        | false, _ -> None

    /// Scores of another kind of processor: a training of a hundred rows comes out by so much otherwise where rounding differs.
    let private scoreTolerance = 0.25

    /// Whether two lines say the same but for rounding: shares within 0.25, other decimals and counts of epochs within a factor of two, a
    /// P anything; words may tell another order.
    let private isNear (told: string) (found: string) : bool =
        let words (line: string) =
            line.Split(' ', StringSplitOptions.RemoveEmptyEntries)

        let told, found = words told, words found

        told.Length = found.Length
        && Array.zip told found
           |> Array.indexed
           |> Array.forall (fun (place, (one, other)) ->
               match number one, number other with
               | Some _, Some _ when place > 0 && (told[place - 1] = "P" || told[place - 1] = "=") -> true
               | Some one, Some other when abs one <= 1.0 && abs other <= 1.0 -> abs (one - other) <= scoreTolerance
               | Some one, Some other -> one <= 2.0 * other && other <= 2.0 * one
               | None, None -> true
               | _ -> false)

    /// What a lesson's text says otherwise than it prints; nothing where it is right. On the recorded kind of processor every digit
    /// counts.
    let differences (root: string) (name: string) (printed: string list) : string list =
        let told = shown (File.ReadAllText(path root name))

        let isSame =
            if File.ReadAllText(processorFile root).Trim() = Processor.name () then
                (=)
            else
                isNear

        let lines (blocks: string list) =
            blocks |> List.collect (fun block -> List.ofArray (block.Split '\n'))

        if told.Length <> printed.Length || (lines told).Length <> (lines printed).Length then
            [
                $"""{name} prints {(lines printed).Length} lines where its text has {(lines told).Length}: {String.concat " | " printed}"""
            ]
        else
            List.zip (lines told) (lines printed)
            |> List.filter (fun (told, found) -> not (isSame (told.TrimEnd()) (found.TrimEnd())))
            |> List.map (fun (told, found) -> $"{name} says '{told}' and prints '{found}'")
