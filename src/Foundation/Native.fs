namespace Peft

open System
open System.Buffers.Binary
open System.IO
open System.Reflection
open System.Runtime.InteropServices
open System.Security.Cryptography
open System.Text

/// Reads and changes the version requirements (`.gnu.version_r`) of a 64-bit little-endian ELF file.
[<RequireQualifiedAccess>]
module Elf =
    let private sectionVersionNeed = 0x6ffffffeL
    let private flagWeak = 2us

    /// Marks every requirement of `version` (for example `GLIBCXX_3.4.32`) as weak, in place, and returns how many
    /// entries changed. A weak requirement is not checked by the dynamic linker; that is safe where no symbol of
    /// that version is used. Layout: System V gABI, "Symbol versioning" (Elf64_Verneed, Elf64_Vernaux).
    let relaxVersion (version: string) (image: byte[]) : int =
        let u16 at =
            BinaryPrimitives.ReadUInt16LittleEndian(ReadOnlySpan(image, at, 2))

        let i32 at =
            BinaryPrimitives.ReadInt32LittleEndian(ReadOnlySpan(image, at, 4))

        let i64 at =
            BinaryPrimitives.ReadInt64LittleEndian(ReadOnlySpan(image, at, 8))

        let text at =
            let ends = Array.IndexOf(image, 0uy, at)
            Encoding.ASCII.GetString(image, at, ends - at)

        let sectionHeader index = int (i64 0x28) + index * int (u16 0x3A)
        let sectionOffset index = int (i64 (sectionHeader index + 24))
        let mutable changed = 0

        let relaxSection index =
            let strings = sectionOffset (i32 (sectionHeader index + 40))

            let rec entries at left =
                if left > 0 then
                    if text (strings + i32 (at + 8)) = version && u16 (at + 4) &&& flagWeak = 0us then
                        BinaryPrimitives.WriteUInt16LittleEndian(Span(image, at + 4, 2), u16 (at + 4) ||| flagWeak)
                        changed <- changed + 1

                    entries (at + i32 (at + 12)) (left - 1)

            let rec needs at =
                entries (at + i32 (at + 8)) (int (u16 (at + 2)))
                let next = i32 (at + 12)

                if next <> 0 then
                    needs (at + next)

            needs (sectionOffset index)

        for index in 0 .. int (u16 0x3C) - 1 do
            if int64 (i32 (sectionHeader index + 4)) = sectionVersionNeed then
                relaxSection index

        changed

/// How libtorch came to be loaded.
type NativeStatus =
    /// The package's own files loaded as they are.
    | AsShipped
    /// A private copy of TorchSharp's shim, with one version requirement relaxed, was loaded from this path.
    | Relaxed of path: string
    /// Not Linux: TorchSharp loads its libraries itself.
    | LeftToTorchSharp

/// Loads libtorch before TorchSharp looks for it. TorchSharp 0.107's shim (`libLibTorchSharp.so`) requires
/// `GLIBCXX_3.4.32` without using a symbol of it; where the system's libstdc++ is older (Debian 12, Ubuntu 22.04)
/// a relaxed copy of the 3 MB shim is kept under the user's local application data and loaded instead.
///
/// Call `Native.ensure ()` first in every `main` and script. No top-level value may touch `torch`: it would run
/// torch's static constructor before `main`'s first line.
[<RequireQualifiedAccess>]
module Native =
    let private unneededVersion = "GLIBCXX_3.4.32"
    let private shimName = "libLibTorchSharp.so"

    let private torchSharp = lazy Assembly.Load(AssemblyName "TorchSharp")

    /// The NuGet cache folder, for `#r "nuget:"` scripts whose natives are not copied beside the assembly.
    let private packageFolders () =
        let root =
            match Environment.GetEnvironmentVariable "NUGET_PACKAGES" with
            | null
            | "" -> Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".nuget", "packages")
            | path -> path

        // Where the program's own folder has no libraries, it is a script of a CPU build: CUDA builds carry theirs.
        let version (folder: string) =
            match Version.TryParse(Path.GetFileName folder) with
            | true, version -> version
            | false, _ -> Version(0, 0)

        [ "torchsharp"; "libtorch-cpu-linux-x64" ]
        |> List.map (fun name -> Path.Combine(root, name))
        |> List.filter Directory.Exists
        |> List.collect (Directory.GetDirectories >> Array.sortByDescending version >> List.ofArray)

    let private searchFolders () =
        let beside =
            match Path.GetDirectoryName torchSharp.Value.Location with
            | null -> []
            | folder -> [ folder ]

        beside @ [ AppContext.BaseDirectory ] @ packageFolders ()
        |> List.distinct
        |> List.collect (fun folder -> [ folder; Path.Combine(folder, "runtimes", "linux-x64", "native") ])

    let private find name =
        searchFolders ()
        |> List.map (fun folder -> Path.Combine(folder, name))
        |> List.tryFind File.Exists

    /// Where a relaxed copy may be kept, the best place first. What lies in the temporary folder might be another user's: a
    /// copy is only taken where it holds what would be written.
    let private copyFolders () : string list =
        let local =
            Environment.GetFolderPath(
                Environment.SpecialFolder.LocalApplicationData,
                Environment.SpecialFolderOption.DoNotVerify
            )

        [
            if local <> "" then
                Path.Combine(local, "peft", "native")
            Path.Combine(Path.GetTempPath(), $"peft-native-{Environment.UserName}")
        ]

    let private writeCopy (image: byte[]) (path: string) : unit =
        Directory.CreateDirectory(string (Path.GetDirectoryName path)) |> ignore
        let temporary = $"{path}.{Environment.ProcessId}.tmp"
        File.WriteAllBytes(temporary, image)
        File.Move(temporary, path, overwrite = true)

    let private holds (image: byte[]) (path: string) : bool =
        try
            (FileInfo path).Exists
            && File.ReadAllBytes(path).AsSpan().SequenceEqual(ReadOnlySpan image)
        with
        | :? IOException
        | :? UnauthorizedAccessException -> false

    /// Writes the relaxed shim once per content and returns its path. The name carries the hash of the original, so
    /// another TorchSharp version gets another file; the rename is atomic, so that two processes may race.
    let internal relaxedCopy (folders: string list) (shim: string) : string =
        let image = File.ReadAllBytes shim

        let hash =
            Convert.ToHexString(SHA256.HashData image).Substring(0, 16).ToLowerInvariant()

        Elf.relaxVersion unneededVersion image |> ignore

        let attempt (folder: string) =
            let path = Path.Combine(folder, hash, shimName)

            if holds image path then
                Ok path
            else
                try
                    writeCopy image path
                    Ok path
                with
                | :? IOException
                | :? UnauthorizedAccessException as error -> Error error.Message

        let rec first (causes: string list) (folders: string list) =
            match folders with
            | [] ->
                let causes = causes |> List.rev |> String.concat "; "

                userError
                    $"a changed copy of {shimName} is needed here (libstdc++ is older than 3.4.32) and can be kept nowhere: {causes}. Let HOME, XDG_DATA_HOME or TMPDIR name a folder that can be written."
            | folder :: others ->
                match attempt folder with
                | Ok path -> path
                | Error cause -> first (cause.TrimEnd '.' :: causes) others

        first [] folders

    let private explain (error: exn) =
        let missing =
            if error.Message.Contains "cannot open shared object file" then
                "A shared library it needs is not installed: see the name in the message."
            elif
                error.Message.Contains "failed to map segment"
                || error.Message.Contains "Cannot allocate memory"
            then
                "There is no room to map it: where ulimit -v bounds the address space, raise it (4 GB are the least)."
            else
                "See the loader's message."

        InvalidOperationException(
            $"libtorch could not be loaded. {missing} PyTorch for Linux x64 needs glibc 2.28 or newer and libstdc++. "
            + $"The loader said: {error.Message.ReplaceLineEndings(string ' ').Trim()}",
            error
        )

    let private loadShim (shim: string) : nativeint * NativeStatus =
        let mutable handle = 0n

        if NativeLibrary.TryLoad(shim, &handle) then
            handle, AsShipped
        else
            let copy = relaxedCopy (copyFolders ()) shim
            NativeLibrary.Load copy, Relaxed copy

    let private load () : NativeStatus =
        if not (OperatingSystem.IsLinux()) then
            LeftToTorchSharp
        else
            match find shimName with
            | None ->
                invalidOp (
                    $"{shimName} is neither beside TorchSharp.dll nor in the NuGet cache. Build the project first "
                    + "(dotnet fsi build.fsx build); Linux x64 is the platform served here."
                )
            | Some shim ->
                try
                    // By absolute path: its $ORIGIN then finds torch_cpu, c10 and gomp beside it.
                    match find "libtorch.so" with
                    | Some library ->
                        NativeLibrary.Load library |> ignore
                        // Only from the same package: a CUDA build's libraries do not go with a CPU build's.
                        let cuda = Path.Combine(string (Path.GetDirectoryName library), "libtorch_cuda.so")

                        if File.Exists cuda then
                            NativeLibrary.Load cuda |> ignore
                    | None -> ()

                    let handle, status = loadShim shim

                    NativeLibrary.SetDllImportResolver(
                        torchSharp.Value,
                        fun name _ _ -> if name = "LibTorchSharp" then handle else 0n
                    )

                    status
                with
                | :? DllNotFoundException
                | :? BadImageFormatException as error -> raise (explain error)

    let private status = lazy load ()

    /// Loads libtorch once per process; later calls cost nothing. Raises `InvalidOperationException` with a plain
    /// message where a system library is missing.
    let ensure () : NativeStatus = status.Value
