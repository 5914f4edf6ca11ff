namespace Peft.Campaigns

open System
open System.Collections.Generic
open System.IO
open System.IO.Compression
open System.Text
open System.Text.Json
open System.Text.RegularExpressions
open Parquet
open Parquet.Schema
open Peft
open TorchSharp

/// The good files that the fuzzer spoils: `<corpus>/<reader>/<number>/` is one seed, a small folder.
[<RequireQualifiedAccess>]
module Corpus =
    let private text (folder: string) (name: string) (content: string) =
        Directory.CreateDirectory folder |> ignore
        File.WriteAllText(Path.Combine(folder, name), content)

    let private bytes (folder: string) (name: string) (content: byte[]) =
        Directory.CreateDirectory folder |> ignore
        File.WriteAllBytes(Path.Combine(folder, name), content)

    let private tables =
        [
            "text,label,n\n\"one, two\",yes,1\n\"a \"\"quote\"\"\",no,2\nnaïve,yes,3\n"
            "text,label\nplain,1\n\"two\nlines\",0\n"
        ]

    let private jsonLines =
        [
            "{\"text\": \"one\", \"label\": 1, \"more\": [\"a\", \"b\"]}\n{\"text\": \"tw\\u00e9\", \"label\": null, \"more\": []}\n"
            "{\"sentence\": \"It rains.\", \"label\": \"yes\"}\n\n{\"sentence\": \"It snows.\", \"label\": \"no\"}\n"
        ]

    let private arrays =
        [
            "[{\"id\": \"1\", \"dialogue\": \"A: Hi\\r\\nB: Hello\", \"summary\": \"They greet.\"}, {\"id\": \"2\", \"dialogue\": \"\", \"summary\": \"x\"}]"
            "[\n  {\"text\": \"a\", \"label\": 0.5},\n  {\"text\": \"b\", \"label\": {\"x\": [1, 2]}}\n]"
        ]

    let private parquet (method': CompressionMethod) (groups: int) : byte[] =
        let words, label, index =
            DataField<string> "text", DataField<Nullable<int>> "label", DataField<int64> "idx"

        use file = new MemoryStream()

        let writer =
            ParquetWriter
                .CreateAsync(ParquetSchema(words, label, index), file, ParquetOptions(CompressionMethod = method'))
                .GetAwaiter()
                .GetResult()

        for number in 1..groups do
            use group = writer.CreateRowGroup()
            let texts = [| $"eins {number}"; "zwéi"; "" |]

            group.WriteAsync(words, texts :> IReadOnlyCollection<string>).GetAwaiter().GetResult()

            group
                .WriteAsync<int>(label, ReadOnlyMemory [| Nullable 1; Nullable(); Nullable -1 |])
                .GetAwaiter()
                .GetResult()

            group.WriteAsync<int64>(index, ReadOnlyMemory [| 1L; 2L; int64 number |]).GetAwaiter().GetResult()
            group.CompleteValidate()

        writer.DisposeAsync().AsTask().GetAwaiter().GetResult()
        file.ToArray()

    let zip (content: byte[]) : byte[] =
        use file = new MemoryStream()

        (use zip = new GZipStream(file, CompressionLevel.Fastest, leaveOpen = true)
         zip.Write(content, 0, content.Length))

        file.ToArray()

    /// A Unigram tokenizer.json with these pieces, as Hugging Face's tokenizers write T5's.
    let private tokenizerJson (pieces: string list) : string =
        let vocabulary =
            pieces
            |> List.mapi (fun place piece -> $"[{JsonSerializer.Serialize piece}, {if place < 3 then 0 else -place}]")
            |> String.concat ", "

        let added =
            [ "<pad>", 0; "</s>", 1; "<unk>", 2; "<extra_id_0>", pieces.Length ]
            |> List.map (fun (content, id) ->
                $"{{\"id\": {id}, \"content\": \"{content}\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}}")
            |> String.concat ", "

        let metaspace =
            "{\"type\": \"Metaspace\", \"replacement\": \"▁\", \"add_prefix_space\": true}"

        let table =
            Convert.ToBase64String(Array.concat [ BitConverter.GetBytes 1024; Array.zeroCreate<byte> 1024; [| 0uy |] ])

        $"{{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": [{added}], \"normalizer\": {{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"{table}\"}}, \"pre_tokenizer\": {{\"type\": \"Sequence\", \"pretokenizers\": [{{\"type\": \"WhitespaceSplit\"}}, {metaspace}]}}, \"post_processor\": {{\"type\": \"TemplateProcessing\", \"single\": [{{\"Sequence\": {{\"id\": \"A\", \"type_id\": 0}}}}, {{\"SpecialToken\": {{\"id\": \"</s>\", \"type_id\": 0}}}}], \"pair\": [], \"special_tokens\": {{\"</s>\": {{\"id\": \"</s>\", \"ids\": [1], \"tokens\": [\"</s>\"]}}}}}}, \"decoder\": {metaspace}, \"model\": {{\"type\": \"Unigram\", \"unk_id\": 2, \"vocab\": [{vocabulary}], \"byte_fallback\": false}}}}"

    let private pieces =
        [
            "<pad>"
            "</s>"
            "<unk>"
            "▁"
            "▁the"
            "e"
            "n"
            "d"
            "▁In"
            "▁thing"
            "s"
            "."
        ]
        @ [ for letter in 'a' .. 'z' -> string letter ]

    /// Two shards and their index.
    let private sharded (folder: string) =
        use _ = torch.NewDisposeScope()
        Workspace.writeModel folder
        let whole = Path.Combine(folder, "model.safetensors")

        let tensors =
            Safetensors.readAll whole
            |> Seq.map (fun pair -> pair.Key, pair.Value)
            |> List.ofSeq

        let shard number (part: (string * torch.Tensor) list) =
            let name = $"model-0000{number}-of-00002.safetensors"
            Safetensors.write (Path.Combine(folder, name)) (Map.ofList [ "format", "pt" ]) part
            [ for tensor, _ in part -> $"\"{tensor}\": \"{name}\"" ]

        let first, second = List.splitAt (tensors.Length / 2) tensors
        let map = String.Join(",\n", shard 1 first @ shard 2 second)
        File.Delete whole

        text
            folder
            "model.safetensors.index.json"
            $"{{\"metadata\": {{\"total_size\": 361000}}, \"weight_map\": {{\n{map}\n}}}}"

    let private adapters =
        [
            yield!
                [ "lora-qv"; "lora-layers"; "ia3"; "prompt"; "dora" ]
                |> List.map (fun name -> [ "peft"; name ])

            yield!
                [ "peft-adalora"; "peft-vera"; "peft-prefix"; "peft-lora-regex" ]
                |> List.map (fun name -> [ "extended"; name ])
        ]

    /// Times and the machine's words out of a result, so that a corpus is the same wherever it is made.
    let private settled (result: string) =
        let numbers =
            Regex.Replace(
                result,
                "\"(Load|Tokenise|Train|Validate|Test|Seconds|PeakMemoryMiB)\": [-+0-9.eE]+",
                "\"$1\": 1.5"
            )

        Regex.Replace(numbers, "\"(FinishedAt|Command)\": \"[^\"]*\"", "\"$1\": \"2026-01-01T00:00:00Z\"")

    /// Results and predictions of a small sweep.
    let private sweep (corpus: string) (results: string) =
        let data = Path.Combine(corpus, "data")
        Workspace.writeData data "topic" 8 4
        let output, error = Console.Out, Console.Error

        let arguments =
            [
                "sweep"
                "--model"
                Path.Combine(corpus, "base")
                "--data"
                data
                "--results"
                results
            ]
            @ [
                "--tasks"
                "topic"
                "--techniques"
                "lora"
                "prompt(tokens=3)"
                "--seeds"
                "1"
                "--epochs"
                "1"
            ]
            @ [ "--input-limit"; "16"; "--threads"; "1"; "--jobs"; "1" ]

        try
            Console.SetOut TextWriter.Null
            use problems = new StringWriter()
            Console.SetError problems

            if Cli.main (Array.ofList arguments) <> 0 then
                failwith $"the sweep for the corpus failed: {problems}"
        finally
            Console.SetOut output
            Console.SetError error

    let private write (corpus: string) =
        let seed reader (number: int) =
            let folder = Path.Combine(corpus, reader, string number)
            Directory.CreateDirectory folder |> ignore
            folder

        let eachOf reader items make =
            items |> List.iteri (fun number item -> make (seed reader number) item)

        let into name source =
            fun folder (parts: string list) ->
                File.Copy(Workspace.golden (parts @ [ source ]), Path.Combine(folder, name), true)

        Workspace.writeModel (Path.Combine(corpus, "base"))

        into "tensors.safetensors" "adapter.safetensors" (seed "safetensors" 0) [ "bitfit" ]
        into "tensors.safetensors" "adapter_model.safetensors" (seed "safetensors" 1) [ "peft"; "prompt" ]
        into "tensors.safetensors" "inputs.safetensors" (seed "safetensors" 2) [ "t5-gated" ]

        for reader in [ "weights"; "config"; "generation-config"; "spiece" ] do
            Workspace.writeModel (seed reader 0)

        let tied = seed "config" 1

        Workspace.copy (Workspace.golden [ "t5-relu-tied" ]) tied (fun name ->
            name = "config.json" || name = "model.safetensors")

        bytes tied "spiece.model" (Workspace.vocabulary 284)
        sharded (seed "shard-index" 0)

        text
            (seed "generation-config" 0)
            "generation_config.json"
            "{\"decoder_start_token_id\": 0, \"eos_token_id\": 1, \"pad_token_id\": 0, \"max_new_tokens\": 20, \"num_beams\": 4, \"length_penalty\": 0.6, \"no_repeat_ngram_size\": 3, \"forced_bos_token_id\": null, \"transformers_version\": \"5.12.1\"}"

        text (seed "tokenizer-json" 0) "tokenizer.json" (tokenizerJson pieces)
        text (seed "tokenizer-json" 0) "config.json" (File.ReadAllText(Workspace.golden [ "t5-gated"; "config.json" ]))

        for reader in [ "adapter-config"; "adapter-weights" ] do
            eachOf reader adapters (fun folder parts ->
                Workspace.copy (Workspace.golden parts) folder (fun name ->
                    name.StartsWith("adapter_", StringComparison.Ordinal)))

        let session =
            Session
                {
                    ModelFolder = Path.Combine(corpus, "base")
                    DataFolder = ""
                    Device = "cpu"
                    Precision = "float32"
                }

        for reader in [ "own-adapter"; "own-adapter-weights" ] do
            // Not every form of theirs has words of this project.
            adapters
            |> List.iteri (fun number parts ->
                try
                    let folder = Path.Combine(corpus, reader, string number)

                    AdapterFolders.convert (Workspace.golden parts) folder session.Fingerprint session.Model
                    |> ignore
                with UserError _ ->
                    ())

        eachOf "csv" tables (fun folder table -> text folder "rows.csv" table)

        eachOf "tsv" tables (fun folder table ->
            text
                folder
                "rows.tsv"
                (table
                    .Replace("\"", "")
                    .Replace("one, two", "one two")
                    .Replace(",", "\t")
                    .Replace("two\nlines", "two lines")))

        eachOf "json" arrays (fun folder array -> text folder "rows.json" array)
        eachOf "jsonl" jsonLines (fun folder lines -> text folder "rows.jsonl" lines)

        let tablesOfBytes =
            [
                parquet CompressionMethod.Snappy 2
                parquet CompressionMethod.None 1
                parquet CompressionMethod.Gzip 1
            ]

        eachOf "parquet" tablesOfBytes (fun folder table -> bytes folder "rows.parquet" table)
        bytes (seed "gzip" 0) "rows.csv.gz" (zip (Encoding.UTF8.GetBytes tables.Head))
        bytes (seed "gzip" 1) "rows.jsonl.gz" (zip (Encoding.UTF8.GetBytes jsonLines.Head))
        bytes (seed "gzip" 2) "rows.parquet.gz" (zip tablesOfBytes.Head)

        eachOf
            "technique-words"
            [
                "lora(rank=8,alpha=16)"
                "adapter(width=8)"
                "prompt(tokens=5)"
                "lora+layernorm"
                "adalora"
                "prefix(tokens=3)"
            ]
            (fun folder words -> text folder "technique.txt" words)

        eachOf "placement-words" [ "all"; "late & q,v"; "encoder"; "late" ] (fun folder words ->
            text folder "placement.txt" words)

        let results = Path.Combine(corpus, "results")
        sweep corpus results

        let files pattern =
            Directory.GetFiles(results, pattern) |> Array.sort |> List.ofArray

        eachOf "result" (files "*.json") (fun folder file ->
            text folder (string (Path.GetFileName file)) (settled (File.ReadAllText file)))

        eachOf "predictions" (files "*.predictions.jsonl") (fun folder file ->
            File.Copy(file, Path.Combine(folder, string (Path.GetFileName file)), true))

    /// Writes the corpus, unless it is there.
    let ensure (corpus: string) : unit =
        let whole = Path.Combine(corpus, "whole")

        if not (File.Exists whole) then
            if Directory.Exists corpus then
                Directory.Delete(corpus, recursive = true)

            write corpus
            File.WriteAllText(whole, "")

    /// The seeds of a reader, in order of number.
    let seeds (corpus: string) (reader: Reader) : string[] =
        Directory.GetDirectories(Path.Combine(corpus, reader.Name)) |> Array.sort
