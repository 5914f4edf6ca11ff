module Peft.Tests.SyntheticTextTests

open System
open System.Collections.Generic
open System.Security.Cryptography
open System.Text
open Expecto
open Peft.Synthetic

let private wordLists =
    testList
        "Word lists"
        [
            testCase "comments, blank lines and spaces around entries say nothing"
            <| fun () ->
                Expect.equal
                    (WordLists.parse "x" "# words\n\n[a]\n  one two \n# no entry\nthree\n[b c]\nfour\n")
                    [ "a", [| "one two"; "three" |]; "b c", [| "four" |] ]
                    "two lists"

            testCase "a fault is told with its line"
            <| fun () ->
                for text, problem in
                    [
                        "one\n[a]", "line 1: an entry stands before the first [name]"
                        "[a]\none\n[a]\ntwo", "line 3: there are two lists [a]"
                        "[a]\n[b]\none", "line 2: the list before, [a], has no entry"
                        "[a]\none\n[b]\n", "line 4: the list before, [b], has no entry"
                    ] do
                    let error =
                        Expect.throwsC (fun () -> WordLists.parse "x" text |> ignore) (fun error -> error.Message)

                    Expect.equal error $"words/x.txt, {problem}." text
        ]

let private pretraining =
    testList
        "Pretraining text"
        [
            testCase "a corpus line is decided by its seed and its place, and is one line"
            <| fun () ->
                let first = Corpus.lines 9 |> Seq.truncate 2000 |> Array.ofSeq
                Expect.equal first (Corpus.lines 9 |> Seq.truncate 2000 |> Array.ofSeq) "twice the same"
                Expect.isGreaterThan (Array.distinct first).Length 1950 "hardly ever twice"

                for line in first do
                    if line.IndexOfAny [| '{'; '}'; '\n'; '\t' |] >= 0 || line.Contains "a(n)" then
                        failtest $"this line is not finished: {line}"

            testCase "the streams are those that published models were trained on"
            <| fun () ->
                let digest (lines: seq<string>) =
                    String.Join('\n', lines)
                    |> Encoding.UTF8.GetBytes
                    |> SHA256.HashData
                    |> Convert.ToHexString
                    |> _.Substring(0, 16)

                Expect.equal (Corpus.lines 3 |> Seq.truncate 2000 |> digest) "A22A6FBFCC697CBD" "text"

                Expect.equal
                    (Instructions.examples 3
                     |> Seq.truncate 4000
                     |> Seq.map (fun (input, target) -> $"{input}\t{target}")
                     |> digest)
                    "66AC366B9F2AEA87"
                    "instructions"

            testCase "a corpus line has about 20 to 80 words"
            <| fun () ->
                let lengths =
                    Corpus.lines 9
                    |> Seq.truncate 5000
                    |> Seq.map DataSets.words
                    |> Array.ofSeq
                    |> Array.sort

                Expect.isGreaterThanOrEqual lengths[250] 15 "the shortest"
                Expect.isLessThanOrEqual lengths[4999] 90 "the longest"

            testCase "instructions come from at least fifteen families"
            <| fun () ->
                let found = [ for index in 0..4999 -> Instructions.example 9 index ]
                Expect.isGreaterThanOrEqual Instructions.families.Length 15 "families"

                Expect.equal
                    (found |> List.map _.Family |> List.distinct |> List.sort)
                    (Instructions.families |> List.ofArray |> List.sort)
                    "each occurs"

                for example in found do
                    for text in [ example.Input; example.Target ] do
                        if
                            text = ""
                            || text.IndexOfAny [| '{'; '}'; '\n'; '\t' |] >= 0
                            || text.Contains "a(n)"
                        then
                            failtest $"this instruction of {example.Family} is not finished: {example}"

            testCase "the answer of a question with options is one of them"
            <| fun () ->
                for index in 0..4999 do
                    let example = Instructions.example 9 index

                    if
                        example.Input.Contains "OPTIONS: "
                        && not (example.Input.Substring(example.Input.IndexOf "OPTIONS: ").Contains example.Target)
                    then
                        failtest $"the answer is not listed: {example}"

            testCase "no instruction is a row of a benchmark task"
            <| fun () ->
                let benchmark =
                    HashSet(SyntheticTests.rows.Value.Values |> Seq.collect (Seq.map _.Input))

                let labels = Set.ofArray (Array.append Topic.labels Acceptability.labels)
                // Their options are names without a meaning, any word of the vocabulary.
                let nameless =
                    set
                        [
                            "named option"
                            "option by place"
                            "coded labels"
                            "labelled examples"
                            "open choice"
                        ]

                for example in Seq.init 20000 (Instructions.example 9) do
                    if
                        benchmark.Contains example.Input
                        || (labels.Contains example.Target && not (nameless.Contains example.Family))
                    then
                        failtest $"this is held out: {example}"

            testCase "no instruction holds a sentence of an acceptability row"
            <| fun () ->
                let splits = DataSets.splits Acceptability.task DataSets.seed DataSets.sizes

                let sentences =
                    [ splits.Train; splits.Validation; splits.Test ]
                    |> Seq.concat
                    |> Seq.map _.Input
                    |> HashSet

                let grammar =
                    set [ "better sentence"; "wrong word"; "correction"; "form for a gap" ]

                let examples =
                    Seq.init 60000 (Instructions.example 9)
                    |> Seq.filter (fun example -> grammar.Contains example.Family)
                    |> Array.ofSeq

                for sentence in sentences do
                    for example in examples do
                        if example.Input.Contains sentence || example.Target = sentence then
                            failtest $"an instruction holds the row \"{sentence}\": {example}"
        ]

[<Tests>]
let tests = testList "Synthetic text" [ wordLists; pretraining ]
