/// Decoders from the command line: a sweep over two tasks, an adapter of it, and answers.
module Peft.Tests.CausalSweepTests

open System.IO
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

/// A checkpoint of a family with random weights, beside a tokenizer of its kind.
let private checkpoint (folder: string) (config: string) (tokenizer: string) : unit =
    use _ = torch.NewDisposeScope()
    Files.createFolder folder
    let source = golden [ "wider"; "tokenizers"; tokenizer ]

    for file in Directory.GetFiles source do
        let name = Path.GetFileName file |> nonNull

        if not (name.Contains "cases") then
            File.Copy(file, Path.Combine(folder, name))

    File.WriteAllText(Path.Combine(folder, "config.json"), config)
    let model = (Checkpoint.named folder).Random torch.float32 1
    Checkpoint.save folder torch.float32 model

let private llama (vocabulary: int) =
    $"""{{ "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {vocabulary}, "hidden_size": 32,
           "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2,
           "max_position_embeddings": 1024, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.05 }}"""

let private gptNeo (vocabulary: int) =
    $"""{{ "architectures": ["GPTNeoForCausalLM"], "model_type": "gpt_neo", "vocab_size": {vocabulary}, "hidden_size": 32,
           "num_heads": 4, "num_layers": 2, "attention_types": [[["global", "local"], 1]], "window_size": 16,
           "max_position_embeddings": 1024, "eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0 }}"""

let private sweep (name: string) (config: int -> string) (tokenizer: string) =
    testCase $"two tasks, three techniques, from the command line: {name}"
    <| fun () ->
        inTemporaryFolder (fun folder ->
            let vocabulary =
                (Tokenizer.Load(golden [ "wider"; "tokenizers"; tokenizer ])).VocabularySize

            checkpoint (Path.Combine(folder, "model")) (config vocabulary) tokenizer

            let output =
                CommandLine.succeeds
                    folder
                    []
                    [
                        yield! [ "sweep"; "--model"; "model"; "--tasks"; "topic,dialogue"; "--techniques" ]
                        yield! [ "lora"; "ia3"; "prompt(tokens=4)"; "--epochs"; "1"; "--results"; "results" ]
                        yield! [ "--test-limit"; "8"; "--validation-limit"; "8"; "--adapters"; "adapters" ]
                        yield!
                            [
                                "--input-limit"
                                "200"
                                "--target-limit"
                                "8"
                                "--threads"
                                "1"
                                "--jobs"
                                "1"
                            ]
                    ]

            for words in [ "Topic (accuracy)"; "Dialogue (ROUGE-L)"; "ia3"; "prompt(tokens=4)" ] do
                Expect.stringContains output words "the table"

            let runs, problems = Results.read (Path.Combine(folder, "results"))
            Expect.isEmpty problems "every result is read"

            Expect.equal
                runs.Length
                9
                "two tasks, three techniques, zero-shot, and the majority where there are labels"

            for run in runs do
                Expect.isTrue run.IsFinished $"{run.Name}: {run.Error}"

                if run.TrainableParameters > 0L then
                    Expect.isLessThan run.Epochs.Head.ValidationLoss 20.0 "a loss"

            let adapter =
                Directory.GetDirectories(Path.Combine(folder, "adapters"), "topic-lora*")
                |> Array.exactlyOne

            let answer =
                CommandLine.succeeds
                    folder
                    []
                    [
                        yield! [ "generate"; "--model"; "model"; "--adapter"; adapter; "--target-limit"; "4" ]
                        yield! [ "--threads"; "1"; "Rain over the hills." ]
                    ]

            Expect.isNotEmpty answer "it answers")

[<Tests>]
let tests =
    testList "Causal sweeps" [ sweep "llama" llama "llama-json"; sweep "gpt_neo" gptNeo "gpt2" ]
