namespace Peft.Campaigns

open System
open System.IO
open Peft
open TorchSharp

/// One reader under the fuzzer. A fault of its file may end in `UserError` and in nothing else.
[<NoEquality; NoComparison>]
type Reader =
    {
        Name: string
        /// Which file of a seed's folder is spoiled.
        Victim: string
        Read: string -> unit
    }

/// Every way in which a file of someone else comes into the program.
[<RequireQualifiedAccess>]
module Reader =
    let private folderOf (file: string) = string (Path.GetDirectoryName file)

    let private rows (file: string) =
        Rows.read FirstRow file |> Seq.iter ignore

    let private model (file: string) =
        use _ = torch.NewDisposeScope()
        use _ = TextModel.Load(folderOf file)
        ()

    let private tokenizer (file: string) =
        let tokenizer = Tokenizer.Load(folderOf file)
        let ids = tokenizer.Encode "In the end, naïve <extra_id_0> things   happen: 一 2.5%"
        tokenizer.Decode ids |> ignore

    let private results (file: string) =
        match Results.read (folderOf file) with
        | _, [] -> ()
        | _, problems -> userError (String.Join("; ", problems))

    /// All readers; `corpus` holds the base model that adapters are put on.
    let all (corpus: string) : Reader list =
        let baseModel = lazy TextModel.Load(Path.Combine(corpus, "base"))

        let adapter (file: string) =
            use _ = torch.NewDisposeScope()
            use _ = baseModel.Value.WithAdapter(folderOf file)
            ()

        let reader name victim read =
            {
                Name = name
                Victim = victim
                Read = read
            }

        [
            reader "safetensors" "tensors.safetensors" (fun file ->
                use _ = torch.NewDisposeScope()
                Safetensors.readAll file |> ignore)
            reader "weights" "model.safetensors" model
            reader "shard-index" "model.safetensors.index.json" model
            reader "config" "config.json" model
            reader "generation-config" "generation_config.json" model
            reader "adapter-config" "adapter_config.json" adapter
            reader "adapter-weights" "adapter_model.safetensors" adapter
            reader "own-adapter" "adapter.json" adapter
            reader "own-adapter-weights" "adapter.safetensors" adapter
            reader "spiece" "spiece.model" tokenizer
            reader "tokenizer-json" "tokenizer.json" tokenizer
            reader "csv" "rows.csv" rows
            reader "tsv" "rows.tsv" rows
            reader "json" "rows.json" rows
            reader "jsonl" "rows.jsonl" rows
            reader "parquet" "rows.parquet" rows
            reader "gzip" "rows.*.gz" rows
            reader "result" "*.json" results
            reader "predictions" "*.predictions.jsonl" (fun file -> Predictions.read file |> ignore)
            reader "technique-words" "technique.txt" (fun file -> Technique.parse (File.ReadAllText file) |> ignore)
            reader "placement-words" "placement.txt" (fun file -> Placement.parse (File.ReadAllText file) |> ignore)
        ]

    /// The file that is spoiled in a seed's folder.
    let victim (reader: Reader) (seed: string) : string =
        Directory.GetFiles(seed, reader.Victim) |> Array.sort |> Array.head
