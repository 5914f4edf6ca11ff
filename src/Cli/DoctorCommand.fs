namespace Peft

open System
open System.IO
open System.Runtime.Intrinsics.X86
open System.Text
open System.Text.RegularExpressions
open Argu
open TorchSharp

/// The options of `doctor`.
[<RequireQualifiedAccess>]
type DoctorOption =
    | [<Unique; AltCommandLine("-m")>] Model of folder: string

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Model _ -> "Folder of the model whose tokenizer is tried. The embedded model if not given."

/// `peft doctor`: what this machine has for the program, and what to do about what it lacks.
[<RequireQualifiedAccess>]
module DoctorCommand =
    let private orNone (read: unit -> 'a option) : 'a option =
        try
            read ()
        with
        | :? IOException
        | :? UnauthorizedAccessException -> None

    let private libraryName = "libstdc++.so.6"

    /// Where the loader found libstdc++, or would look for it.
    let private libraries () : string seq =
        seq {
            if File.Exists "/proc/self/maps" then
                for line in File.ReadLines "/proc/self/maps" do
                    if line.Contains $"/{libraryName}" then
                        line.Substring(line.IndexOf '/')

            for folder in [ "/usr/lib/x86_64-linux-gnu"; "/usr/lib64"; "/lib64"; "/usr/lib"; "/lib" ] do
                Path.Combine(folder, libraryName)
        }

    /// The newest GLIBCXX version that the system's libstdc++ has.
    let private newestLibstdcxx () : Version option =
        orNone (fun () ->
            libraries ()
            |> Seq.tryFind File.Exists
            |> Option.bind (fun path ->
                Regex.Matches(Encoding.Latin1.GetString(File.ReadAllBytes path), @"GLIBCXX_(\d+\.\d+\.\d+)")
                |> Seq.map (fun found -> Version.Parse found.Groups[1].Value)
                |> Seq.sortDescending
                |> Seq.tryHead))

    let private loaded () : Result<NativeStatus * string, string> =
        try
            let status = Native.ensure ()
            // A sum that goes through the shim.
            use ones = torch.ones 3L
            use sum = ones.sum ()

            if sum.item<float32>() = 3.0f then
                Ok(status, torch.__version__)
            else
                Error "libtorch computes 1 + 1 + 1 wrongly"
        with error ->
            Error(Guard.describe error)

    let private freeMiB () : float =
        let bytes (line: string) =
            float (line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) / 1024.0

        let ofSystem =
            orNone (fun () ->
                File.ReadLines "/proc/meminfo"
                |> Seq.tryFind _.StartsWith("MemAvailable:", StringComparison.Ordinal)
                |> Option.map bytes)

        // A container's limit is the runtime's to know.
        let ofContainer = float (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes) / 1048576.0

        ofSystem |> Option.map (min ofContainer) |> Option.defaultValue ofContainer

    let private load () : float =
        orNone (fun () -> File.ReadLines "/proc/loadavg" |> Seq.tryHead)
        |> Option.map (fun line -> Double.Parse(line.Split(' ')[0], Globalization.CultureInfo.InvariantCulture))
        |> Option.defaultValue nan

    let private variable (name: string) : string option =
        Environment.GetEnvironmentVariable name |> Option.ofObj

    let private ofTorch () : Finding list =
        let policy =
            variable "OMP_WAIT_POLICY"
            |> Option.orElse (variable "GOMP_SPINCOUNT" |> Option.map ((+) "GOMP_SPINCOUNT "))

        let devices =
            if torch.cuda.is_available () then
                torch.cuda.device_count ()
            else
                0

        [
            Checkup.threads Environment.ProcessorCount (torch.get_num_threads ()) (load ()) policy
            Checkup.cuda devices (File.Exists "/proc/driver/nvidia/version")
        ]

    /// Why a folder that may not be there yet cannot be written.
    let private problemOf (path: string) : string option =
        let rec existing (path: string) =
            match Path.GetDirectoryName path with
            | NonNull above when not (Directory.Exists path || File.Exists path) -> existing above
            | _ -> path

        try
            let there = existing (Path.GetFullPath path)

            if File.Exists there then
                Some $"{there} is a file, and {path} should be a folder"
            else
                Files.checkWritable there
                None
        with UserError cause ->
            Some cause

    let private cache () : Finding =
        try
            let settings = HubSettings.ofEnvironment ()
            let free = settings.Room(string (Path.GetPathRoot(Path.GetFullPath settings.Cache)))
            let offline = if settings.IsOffline then " (offline)" else ""
            Checkup.folder "hub cache" (settings.Cache + offline) (problemOf settings.Cache) free "HF_HOME"
        with UserError cause ->
            Checkup.folder "hub cache" "" (Some cause) Int64.MaxValue "HF_HOME"

    let private sample = "Rain is on its way."

    let private tokenizer (given: string option) : Finding =
        try
            let folder = given |> Option.defaultWith Embedded.modelFolder
            let tokenizer = Checkpoint.tokenizer folder
            let ids = tokenizer.Encode(sample, 512)
            let again = tokenizer.Decode ids

            let read =
                if again.Trim() = sample then
                    Ok $"{tokenizer.VocabularySize} tokens, {ids.Length} for \"{sample}\""
                else
                    Error $"{folder}: \"{sample}\" comes back as \"{Printable.short 80 again}\""

            Checkup.tokenizer folder read
        with UserError cause ->
            Checkup.tokenizer "" (Error cause)

    /// Looks at everything and prints what was found; 1 where something is broken.
    let run (options: ParseResults<DoctorOption>) : int =
        let loaded = loaded ()

        let abilities =
            [
                "AVX2", Avx2.IsSupported
                "FMA", Fma.IsSupported
                "AVX-512", Avx512F.IsSupported
            ]

        let off =
            Kernels.Kernel.all
            |> List.filter (Kernels.Kernel.isOn >> not)
            |> List.map Kernels.Kernel.name

        let findings =
            [
                if OperatingSystem.IsLinux() then
                    Checkup.libstdcxx (newestLibstdcxx ())

                Checkup.libtorch loaded
                Checkup.processor (Processor.name ()) abilities off
                Checkup.memory (freeMiB ()) (Guard.isAddressSpaceBounded ())

                if Result.isOk loaded then
                    yield! ofTorch ()

                cache ()
                tokenizer (options.TryGetResult DoctorOption.Model)
            ]

        Checkup.lines findings |> List.iter (printfn "%s")
        Checkup.exitCode findings
