namespace Peft

open System.Diagnostics
open System.IO
open System.Text
open TorchSharp

/// Text and files: the tokenizer's speed, and a checkpoint's.
[<RequireQualifiedAccess>]
module FileBench =
    /// The lines of the embedded data sets.
    let private lines () =
        Directory.GetFiles(Embedded.dataFolder (), "*.jsonl", SearchOption.AllDirectories)
        |> Array.sort
        |> Array.collect File.ReadAllLines

    /// Seconds of encoding every line of the embedded data sets with the embedded vocabulary, and their bytes.
    let tokenizer (row: BenchRow) : Measurement =
        let tokenizer = Tokenizer.Load(Embedded.modelFolder ())
        let lines = lines ()
        let mutable tokens = 0

        let seconds =
            Repeated.times row.WarmUp row.Repeat (fun () ->
                tokens <- lines |> Array.sumBy (tokenizer.Encode >> _.Length))

        Repeated.measurement
            seconds
            [
                "bytes", lines |> Array.sumBy (Encoding.UTF8.GetByteCount >> float)
                "tokens", float tokens
            ]

    let private residentMiB () =
        use self = Process.GetCurrentProcess()
        float self.WorkingSet64 / 1048576.0

    /// Seconds of a plain copy of so many bytes, tensor to tensor: the speed of memory. Both have been touched before.
    let private copySeconds (row: BenchRow) (bytes: int64) =
        use _ = torch.NewDisposeScope()
        let source = torch.zeros (bytes, dtype = torch.uint8)
        let target = torch.zeros (bytes, dtype = torch.uint8)

        Repeated.times 1 row.Repeat (fun () -> target.copy_ source |> ignore)
        |> Repeated.median

    /// Seconds of loading a checkpoint of random weights in its own dtype, just written and so in the page cache; the bytes
    /// of its weights, and how much memory the first load took beyond them.
    let checkpoint (row: BenchRow) : Measurement =
        let dtype = Precision.parse row.Dtype

        let write folder =
            use _ = torch.NewDisposeScope()
            Checkpoint.save folder dtype (StepBench.model row)

        let load folder () =
            use _ = torch.NewDisposeScope()
            Checkpoint.load torch.CPU dtype folder |> ignore

        Files.inTemporary "bench" (fun folder ->
            write folder
            let bytes = FileInfo(Path.Combine(folder, "model.safetensors")).Length
            let before = residentMiB ()
            Memory.resetPeak ()
            load folder ()
            let extra = Memory.peakMiB () - before - float bytes / 1048576.0

            Repeated.measurement
                (Repeated.times row.WarmUp row.Repeat (load folder))
                [
                    "bytes", float bytes
                    "MiB beyond the weights", max 0.0 extra
                    "s copy", copySeconds row bytes
                ])
