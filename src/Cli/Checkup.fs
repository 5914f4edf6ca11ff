namespace Peft

open System

/// How well something is.
type Health =
    | Fine
    /// It works, and could be better.
    | Poor
    /// Nothing can be computed with it as it is.
    | Broken

/// What `doctor` found of one thing, and what to do about it.
type Finding =
    {
        Name: string
        Health: Health
        Text: string
        /// Empty where there is nothing to do.
        Fix: string
    }

/// From what a machine is to what is to be said of it: nothing is asked of the machine here.
[<RequireQualifiedAccess>]
module Checkup =
    let private finding name health text fix : Finding =
        {
            Name = name
            Health = health
            Text = text
            Fix = fix
        }

    /// The newest version that libstdc++ names, and what TorchSharp's shim asks for.
    let libstdcxx (newest: Version option) : Finding =
        let wanted = Version(3, 4, 32)

        match newest with
        | None ->
            finding
                "libstdc++"
                Broken
                "not found where the loader looks"
                "install it (Debian, Ubuntu: apt-get install libstdc++6)"
        | Some version when version < wanted ->
            finding
                "libstdc++"
                Fine
                $"GLIBCXX_{version}; TorchSharp asks for {wanted} without need, so a changed copy of its shim is loaded"
                ""
        | Some version -> finding "libstdc++" Fine $"GLIBCXX_{version}" ""

    /// How libtorch came to be loaded, and its version; or why it was not.
    let libtorch (loaded: Result<NativeStatus * string, string>) : Finding =
        match loaded with
        | Ok(Relaxed path, version) -> finding "libtorch" Fine $"{version}, with the shim {path}" ""
        | Ok(_, version) -> finding "libtorch" Fine version ""
        | Error cause ->
            finding
                "libtorch"
                Broken
                cause
                "build again (dotnet fsi build.fsx build), on Linux x64 with glibc 2.28 or newer"

    /// Instructions that the kernels and libtorch use.
    let processor (name: string) (abilities: (string * bool) list) (kernelsOff: string list) : Finding =
        let has = abilities |> List.filter snd |> List.map fst |> String.concat ", "
        let text = if has = "" then name else $"{name}; {has}"

        match abilities, kernelsOff with
        | ("AVX2", false) :: _, _ ->
            finding
                "processor"
                Poor
                $"{text}; no AVX2"
                "expect several times the documented times, or use another machine"
        | _, [] -> finding "processor" Fine text ""
        | _, off ->
            let names = String.concat ", " off
            finding "processor" Poor $"{text}; kernels off: {names}" $"unset {Kernels.Kernel.variable}"

    /// MiB that are free, and whether `ulimit -v` bounds the process.
    let memory (freeMiB: float) (isBounded: bool) : Finding =
        let text = $"{freeMiB:F0} MiB free"

        if isBounded then
            finding
                "memory"
                Poor
                $"{text}; the address space is bounded"
                "ulimit -v unlimited (libtorch maps 4 GB before it computes)"
        elif freeMiB < 1024.0 then
            finding "memory" Poor text "close other programs, or use a smaller --batch-size and shorter limits"
        else
            finding "memory" Fine text ""

    /// Processors that this process may use, libtorch's threads, the machine's queue over the last minute (nan where unknown),
    /// and OpenMP's policy of waiting.
    let threads (processors: int) (threads: int) (load: float) (policy: string option) : Finding =
        let waiting =
            match policy with
            | Some words -> $"waiting threads: {words}"
            | None -> "waiting threads spin"

        let text = $"{threads} of libtorch, {processors} processors; {waiting}"

        if threads > processors then
            finding "threads" Poor text $"OMP_NUM_THREADS={processors}, or --threads {processors}"
        elif load > 0.5 * float processors && threads > 1 && policy.IsNone then
            finding
                "threads"
                Poor
                $"{text}; other work has a load of {load:F1}"
                "OMP_WAIT_POLICY=passive while other work runs, or --threads 1"
        else
            finding "threads" Fine text ""

    /// CUDA devices that libtorch sees, and whether the machine has a driver.
    let cuda (devices: int) (hasDriver: bool) : Finding =
        match devices, hasDriver with
        | 0, false -> finding "CUDA" Fine "no graphics processor; --device cpu is used" ""
        | 0, true ->
            finding
                "CUDA"
                Poor
                "there is a driver, and this build is for the CPU or too new for it"
                "dotnet build -c Release -p:TorchBackend=cuda (docs/cuda.md)"
        | devices, _ -> finding "CUDA" Fine $"{devices} devices for --device cuda" ""

    /// A folder that is written to, why it cannot be, and the bytes that are free there.
    let folder (name: string) (path: string) (problem: string option) (free: int64) (variable: string) : Finding =
        match problem with
        | Some cause -> finding name Broken cause $"let {variable} name a folder that can be written"
        | None when free < 1_000_000_000L ->
            finding name Poor $"{path}, {Columns.bytes free} free" $"make room, or let {variable} name another folder"
        | None when free = Int64.MaxValue -> finding name Fine path ""
        | None -> finding name Fine $"{path}, {Columns.bytes free} free" ""

    /// What a tokenizer made of a text; or why it cannot be read.
    let tokenizer (model: string) (read: Result<string, string>) : Finding =
        match read with
        | Ok text -> finding "tokenizer" Fine $"{model}: {text}" ""
        | Error cause ->
            finding "tokenizer" Broken cause "fetch the model again (peft download), or name another with --model"

    let private word (health: Health) =
        match health with
        | Fine -> "ok"
        | Poor -> "note"
        | Broken -> "fault"

    /// A line for each finding, and one more for what to do.
    let lines (findings: Finding list) : string list =
        [
            for finding in findings do
                $"{word finding.Health, -6}{finding.Name, -12}{Printable.line finding.Text}"

                if finding.Fix <> "" then
                    let margin = String(' ', 18)
                    $"{margin}fix: {finding.Fix}"
        ]

    /// 1 where something is broken.
    let exitCode (findings: Finding list) : int =
        if findings |> List.exists (fun finding -> finding.Health = Broken) then
            1
        else
            0
