namespace Peft.Campaigns

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open Peft

/// A piece of work for a worker: inputs `From` to `To` - 1 of a reader.
type FuzzPart = { Reader: string; From: int; To: int }

/// The process in which inputs are read: it may hang, be killed or crash, and the campaign goes on.
///
/// It writes a line when a reader's seeds have been read (`ready NAME`), and one for each input: `o` where the input was
/// read, `r` where it was refused in one line, and `f`, a signature and a description where neither is so.
[<RequireQualifiedAccess>]
module FuzzWorker =
    /// A small file takes no longer, in seconds of processor time.
    let slowest = 5.0

    /// A small file takes no more memory.
    let largest = 1L <<< 30

    let private longestMessage = 2000

    /// The most memory that this process has held and has asked for, where the system tells (Linux).
    let private peaks () : int64 * int64 =
        if OperatingSystem.IsLinux() then
            let status = File.ReadAllText "/proc/self/status"

            let kilobytes (key: string) =
                let found = Regex.Match(status, key + @":\s*(\d+) kB")

                if found.Success then
                    int64 found.Groups[1].Value * 1024L
                else
                    0L

            kilobytes "VmHWM", kilobytes "VmPeak"
        else
            0L, 0L

    let private oneLine (text: string) =
        String.map (fun letter -> if Char.IsControl letter then ' ' else letter) text
        |> fun plain ->
            if plain.Length > 500 then
                plain.Substring(0, 500) + "…"
            else
                plain

    /// What tells kinds of findings apart: the exception and the first place of this project on its way.
    let private signature (error: exn) =
        let place = Regex.Match(string error.StackTrace, @"at (Peft\.[^( ]+)")
        $"{error.GetType().Name} in {place.Groups[1].Value}"

    /// What became of one input: nothing, a refusal, or a finding.
    let private attempt (read: string -> unit) (file: string) : string =
        let heldBefore, askedBefore = peaks ()
        let allocatedBefore = GC.GetTotalAllocatedBytes false
        let timeBefore = Environment.CpuUsage.TotalTime

        let outcome =
            try
                read file
                "o"
            with
            | UserError message when message |> Seq.exists Char.IsControl ->
                $"f\ta message with control characters\t{oneLine message}"
            | UserError message when message.Length > longestMessage ->
                $"f\ta message of more than {longestMessage} characters\t{oneLine message}"
            | UserError _ -> "r"
            | error -> $"f\t{signature error}\t{oneLine error.Message}"

        let seconds = (Environment.CpuUsage.TotalTime - timeBefore).TotalSeconds
        let allocated = GC.GetTotalAllocatedBytes false - allocatedBefore
        let held, asked = peaks ()
        let most = List.max [ allocated; held - heldBefore; asked - askedBefore ]

        if outcome[0] = 'f' then outcome
        elif seconds > slowest then $"f\tslow\t{seconds:F1} s"
        elif most > largest then $"f\tmemory\t{most >>> 20} MB"
        else outcome

    let private shared = "/dev/shm"

    /// Where a worker, by its number, writes its inputs.
    let scratch (worker: int) : string =
        let above =
            if Directory.Exists shared then
                shared
            else
                Path.GetTempPath()

        Path.Combine(above, $"peft-fuzz-{worker}")

    /// Seeds must be read, or refused by a reader that this version lacks.
    let private warmUp (reader: Reader) (folders: string[]) =
        for folder in folders do
            try
                reader.Read(Reader.victim reader folder)
            with UserError _ ->
                ()

    let private part (corpus: string) (seed: int) (scratch: string) (reader: Reader) (part: FuzzPart) =
        let seeds = Corpus.seeds corpus reader
        let victims = FuzzInput.victims corpus reader

        let folders =
            seeds
            |> Array.mapi (fun number source ->
                let folder = Path.Combine(scratch, reader.Name, string number)
                Workspace.copy source folder (fun _ -> true)
                folder)

        warmUp reader folders
        printfn $"ready {reader.Name}"
        Console.Out.Flush()

        for index in part.From .. part.To - 1 do
            let number, bytes = FuzzInput.make reader.Name seed index victims
            let file = Path.Combine(folders[number], fst victims[number])
            File.WriteAllBytes(file, bytes)
            Console.Out.WriteLine(attempt reader.Read file)
            Console.Out.Flush()

    /// Does the parts and ends.
    let run (corpus: string) (seed: int) (parts: FuzzPart list) : unit =
        Native.ensure () |> ignore
        let readers = Reader.all corpus
        let scratch = scratch Environment.ProcessId

        try
            for one in parts do
                part corpus seed scratch (readers |> List.find (fun reader -> reader.Name = one.Reader)) one
        finally
            if Directory.Exists scratch then
                Directory.Delete(scratch, recursive = true)
