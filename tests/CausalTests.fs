/// Decoder-only families against transformers' numbers.
module Peft.Tests.CausalTests

open Expecto
open TorchSharp
open Peft
open Peft.Causal
open Peft.Tests.Support
open Peft.Tests.CausalSupport

let private forward =
    each "hidden states and logits equal the reference" (fun architecture ->
        let inputs, outputs, hidden =
            tensorsOf architecture "inputs", tensorsOf architecture "outputs", tensorsOf architecture "hidden_states"

        let ids, mask = inputs["input_ids"], inputs["attention_mask"]
        let decoder = causal torch.float32 architecture

        let states, logits =
            Forward.hiddenStates decoder (Some(fromEdge ids)) ids (Some mask)

        Expect.equal states.Length hidden.Count "one for the embedding and for each block"

        for index, state in List.indexed states do
            closeAtTokens 1e-4 mask state hidden[$"hidden_states.{index}"] $"hidden state {index}"

        closeAtTokens 1e-4 mask logits outputs["logits"] "logits"

        let byMask =
            match outputs.TryGetValue "logits_positions_from_mask" with
            | true, found -> found
            // A score depends on the distance of two tokens alone.
            | false, _ -> outputs["logits"]

        let _, logits = Forward.hiddenStates decoder None ids (Some mask)
        closeAtTokens 1e-4 mask logits byMask "logits with positions from the mask"

        let right = inputs["right.attention_mask"]

        let _, padded =
            Forward.hiddenStates decoder None inputs["right.input_ids"] (Some right)

        let tokens (x: torch.Tensor) (mask: torch.Tensor) = x[mask.eq (1L.ToScalar())]
        close 1e-5 (tokens padded right) (tokens logits mask) "the same rows padded on the right")

let private configurations =
    testList
        "configurations"
        [
            each "both spellings describe the same model, and what is written reads back" (fun architecture ->
                let five, four =
                    describe architecture "config.json", describe architecture "config.transformers4.json"

                let text = Families.toJson five
                // transformers 4 kept some numbers that 5 does not know of.
                Expect.equal
                    { four with
                        MostPositions = five.MostPositions
                    }
                    five
                    "one description"

                withFiles [ "config.json", text ] (fun folder ->
                    let path = System.IO.Path.Combine(folder, "config.json")
                    Expect.equal (ConfigFile.read path (Families.ofJson path)) five "read again"))
        ]

let private sites =
    each "every tensor of the checkpoint has its outline, and every map its site" (fun architecture ->
        let decoder = model architecture
        let shape = decoder.Shape
        let header = Safetensors.header (reference architecture [ "model.safetensors" ])

        Expect.equal
            (shape.Tensors
             |> List.map (fun outline -> outline.Name, outline.Shape)
             |> List.sort)
            (header.Entries
             |> Seq.map (fun entry -> entry.Key, List.ofArray entry.Value.Shape)
             |> List.ofSeq
             |> List.sort)
            "name and shape"

        Expect.equal (Model.leaves decoder |> List.map fst |> set) (shape.Tensors |> List.map _.Name |> set) "leaves"
        Expect.equal (Model.projections decoder |> List.map fst) shape.Sites "in one order")

[<Tests>]
let tests = testList "Causal" [ forward; configurations; sites ]
