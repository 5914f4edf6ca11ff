/// The words that name techniques and their settings.
module Peft.Tests.TechniqueWordsTests

open Expecto
open Peft
open Peft.Tests.Support

let private words =
    testList
        "words"
        [
            testCase "every technique's words read back"
            <| fun () ->
                for technique in Tiny.techniques @ Tiny.wider @ Technique.paper do
                    Expect.equal (Technique.parse (Technique.text technique)) technique (Technique.text technique)

            testCase "the canonical words are these"
            <| fun () ->
                let settings =
                    { LoraSettings.OfRank 8 with
                        Alpha = 16.0
                        IsRankStabilised = true
                        IsDora = true
                        Dropout = 0.1
                    }

                Expect.equal
                    (Technique.text (Lora.technique settings))
                    "lora(rank=8,alpha=16,rs,dora,dropout=0.1)"
                    "lora"

                Expect.equal (Technique.text (Vera.technique (4, 0))) "vera(rank=4)" "vera"
                Expect.equal (Technique.text (Prefix.ofTokens 20)) "prefix(tokens=20)" "prefix"

                Expect.equal
                    (Technique.text (BottleneckAdapter.technique (64, BottleneckPlace.Behind)))
                    "adapter(width=64)"
                    "adapter"

                Expect.equal (Technique.text LayerNorm.technique) "layernorm" "layernorm"

                Expect.equal
                    (Technique.parse "lora(8, alpha=16, RS, dora, dropout=0.1)")
                    (Lora.technique settings)
                    "as people write it"

                Expect.equal
                    (Technique.parse "layernorm>>prompt(5)")
                    (Chain.technique [ LayerNorm.technique; Prompt.ofTokens 5 ])
                    "one after the other"

            testCase "one word means one method, and older words still mean what they meant"
            <| fun () ->
                for words, today in
                    [
                        "lora", "paper-lora(rank=2)"
                        "lora(8)", "paper-lora(rank=8)"
                        "lora(rank=8)", "paper-lora(rank=8)"
                        "lora(rank=8,alpha=16,dora)", "lora(rank=8,alpha=16,dora)"
                        "lora(alpha=16)", "lora(rank=2,alpha=16)"
                        "ia3", "paper-ia3"
                        "ia3(hf)", "ia3"
                        "ia3(published)", "ia3(published)"
                        "bitfit >> lora(rank=2)", "bitfit >> paper-lora(rank=2)"
                        "prompt(tokens=5)", "prompt(tokens=5)"
                    ] do
                    Expect.equal (Technique.parseLegacy words).Words today words

                Expect.equal (Technique.parse "lora") (Technique.parse "lora(rank=8,alpha=8)") "peft's defaults"
                Expect.equal (Technique.parse "lora(rank=4)") (Technique.parse "lora(rank=4,alpha=4)") "counts once"

            testCase "what cannot be meant is refused in one line"
            <| fun () ->
                let wrong =
                    [
                        "lora(rank=8,alpha=x)"
                        "lora(rank=8,rs=1)"
                        "lora(rank=8,rank=4,alpha=2)"
                        "lora(rank=8,dropout=1,alpha=2)"
                        "lora(rank=8,on=z)"
                        "lora(alpha=-1)"
                        "prefix(0)"
                        "prefix(width=3)"
                        "adapter(width=)"
                        "vera(rank=0)"
                        "modules"
                        "prompt(5,init=text)"
                        "prompt(5,ids=x)"
                        "layernorm(3)"
                        "ia3(hf)"
                        "lora(rank=8,,)"
                        "lora >>"
                        "adalora(rank=-1)"
                    ]

                for text in wrong do
                    userErrorOf (fun () -> Technique.parse text |> ignore) |> ignore
        ]

[<Tests>]
let tests = testList "Family" [ words ]
