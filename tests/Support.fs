/// What every test file uses: reference folders, comparison of tensors, temporary folders.
module Peft.Tests.Support

open System
open System.Collections.Generic
open System.IO
open System.IO.Compression
open System.Text
open System.Text.Json
open Expecto
open TorchSharp
open Peft

/// The checkout's root: the nearest folder above the test assembly that holds Peft.sln.
let root: string =
    let rec up (folder: DirectoryInfo | null) =
        match folder with
        | null -> failwith "Peft.sln is in no folder above the tests"
        | here when File.Exists(Path.Combine(here.FullName, "Peft.sln")) -> here.FullName
        | here -> up here.Parent

    up (DirectoryInfo AppContext.BaseDirectory)

/// A committed reference file or folder, under tests/golden.
let golden (parts: string list) : string =
    Path.Combine(root :: "tests" :: "golden" :: parts |> Array.ofList)

/// A reference that may not be published and is read in place, beside the checkout.
let shared (parts: string list) : string =
    Path.Combine(root :: ".." :: "shared" :: parts |> Array.ofList)

/// The path of a shared reference; where it is absent the test is skipped, visibly.
let sharedOrSkip (parts: string list) : string =
    let path = shared parts

    if not (File.Exists path || Directory.Exists path) then
        let name = String.Join("/", parts)
        skiptest $"shared/{name} is not beside this checkout"

    path

/// A JSON file, parsed. Python writes -Infinity, which is not JSON: it becomes a number that reads as minus infinity.
let json (path: string) : JsonElement =
    use document =
        JsonDocument.Parse((File.ReadAllText path).Replace("-Infinity", "-1e999"))

    document.RootElement.Clone()

/// Every tensor of a safetensors file.
let tensors (path: string) : IReadOnlyDictionary<string, torch.Tensor> = Safetensors.readAll path

/// The largest absolute difference of two tensors of one shape, in float64.
let distance (left: torch.Tensor) (right: torch.Tensor) : float =
    Expect.equal (List.ofArray left.shape) (List.ofArray right.shape) "the shapes are equal"
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()

    if left.numel () = 0L then
        0.0
    else
        (left.``to`` torch.float64 - right.``to`` torch.float64).abs().max().item<float>()

/// The largest absolute value of a tensor.
let magnitude (tensor: torch.Tensor) : float =
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()
    tensor.``to``(torch.float64).abs().max().item<float>()

/// Fails unless the largest difference is at most `tolerance` times the largest reference value.
let close (tolerance: float) (actual: torch.Tensor) (expected: torch.Tensor) (what: string) : unit =
    let gap = distance actual expected
    let bound = tolerance * max 1e-6 (magnitude expected)

    if not (gap <= bound) then
        failtest $"{what}: the largest difference is {gap:g4}, the bound is {bound:g4}"

/// Fails unless two tensors are equal bit for bit.
let identical (actual: torch.Tensor) (expected: torch.Tensor) (what: string) : unit =
    if not (distance actual expected = 0.0) then
        failtest $"{what}: the tensors differ"

/// Every result of a folder; none where there is no folder, and `UserError` for a damaged file.
let resultsIn (folder: string) : Run list =
    if Directory.Exists folder then
        match Results.read folder with
        | runs, [] -> runs
        | _, problem :: _ -> userError problem
    else
        []

/// Runs `body` in a new empty folder, which is removed afterwards.
let inTemporaryFolder (body: string -> unit) : unit =
    let folder =
        Path.Combine(Path.GetTempPath(), "peft-tests", Guid.NewGuid().ToString "N")

    Directory.CreateDirectory folder |> ignore

    try
        body folder
    finally
        Directory.Delete(folder, recursive = true)

/// The message of the `UserError` that `body` raises; fails where it raises none, another exception, or one of several lines.
let userErrorOf (body: unit -> unit) : string =
    try
        body ()
        failtest "no UserError was raised"
    with UserError message ->
        Expect.isFalse (message.Contains '\n') "the message is one line"
        message

/// A T5 with random float32 weights.
let randomT5 (config: T5.Config) (seed: int) : Model =
    (T5.T5Family.architecture config).Random torch.float32 seed

/// A T5 without numbers, for counting.
let skeletonT5 (config: T5.Config) : Model =
    (T5.T5Family.architecture config).Skeleton()

/// The reference checkpoint with a gated feed-forward, as T5 v1.1 and FLAN have it.
let gated () : Model =
    Checkpoint.load torch.CPU torch.float32 (golden [ "t5-gated" ])

/// The inputs and labels of a reference file.
let batchOf (path: string) : Batch =
    let inputs = tensors path

    {
        InputIds = inputs["input_ids"]
        Mask = Some inputs["attention_mask"]
        Labels = inputs["labels"]
    }

/// Writes files (path under the folder, text) and gives the folder to `body`; `.gz` files are packed.
let withFiles (files: (string * string) list) (body: string -> unit) : unit =
    inTemporaryFolder (fun folder ->
        for name, text in files do
            let path = Path.Combine(folder, name)
            Directory.CreateDirectory(string (Path.GetDirectoryName path)) |> ignore
            let bytes = Encoding.UTF8.GetBytes text

            if name.EndsWith ".gz" then
                use zip = new GZipStream(File.Create path, CompressionLevel.Fastest)
                zip.Write(bytes, 0, bytes.Length)
            else
                File.WriteAllBytes(path, bytes)

        body folder)

/// A user's task with the usual columns, scored by accuracy.
let custom folder : CustomTask =
    {
        Name = "mine"
        Folder = folder
        Train = None
        Validation = None
        Test = None
        InputColumn = "input"
        TargetColumn = "target"
        Scoring = "accuracy"
        Instruction = None
    }

/// Fails unless a number is another to nine places.
let near (expected: float) (actual: float) (what: string) =
    Expect.isLessThan (abs (actual - expected)) 1e-9 $"{what}: {actual}, not {expected}"

/// Fails unless a number lies between two.
let inside (low: float) (high: float) (actual: float) (what: string) =
    Expect.isTrue (low <= actual && actual <= high) $"{what}: {actual} lies outside {low} … {high}"

/// Fails with the first rows on which `actual` and `expected` differ, and their number.
let allEqual (cases: JsonElement list) (actual: JsonElement -> 'a) (expected: JsonElement -> 'a) : unit =
    let wrong = cases |> List.filter (fun case -> actual case <> expected case)

    if not wrong.IsEmpty then
        let show case = $"\n{case}: got %A{actual case}"

        failtest
            $"{wrong.Length} of {cases.Length} differ:{String.Join(String.Empty, wrong |> List.truncate 5 |> List.map show)}"
