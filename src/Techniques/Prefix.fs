namespace Peft

open TorchSharp

/// Prefix tuning (Li and Liang 2021) as peft has it for an encoder-decoder.
[<RequireQualifiedAccess>]
module Prefix =
    /// `tokens` keys and values before those of
    /// each decoder self-attention, from N(0, 1). It computes something else than the base from the start. With an even
    /// number of layers half of its numbers are never read (see the model); peft trains and counts them all the same.
    let adapter (tokens: int) (seed: int) : Adapter =
        if tokens < 1 then
            invalidArg (nameof tokens) $"tokens is {tokens}, the least is 1"

        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let width = (Model.shape model).PrefixWidth

            let rows = Start.normal generator 1.0 [| int64 tokens; width |] (Model.device model)

            Model.withPrefix (Leaf.trained rows) model

    let private peft (tokens: int) : HuggingFaceForm =
        let keys =
            [
                "num_virtual_tokens", HuggingFaceValue.element tokens
                "num_transformer_submodules", HuggingFaceValue.element 2
            ]

        { Make.huggingFace "PREFIX_TUNING" keys [ "prefix_embeddings", "prompt_embeddings" ] with
            Notes =
                fun shape ->
                    ("encoder_hidden_size", HuggingFaceValue.element shape.Width)
                    :: Prompt.peftNotes (shape.Heads * shape.HeadWidth) shape.Heads (Shape.blocks shape Decoder)
        }

    /// `prefix(tokens=20)`.
    let ofTokens (tokens: int) : Technique =
        let form =
            { Form.nothing with
                Prefix = tokens
                Formula = "tokens·2·layers·heads·d_kv"
            }

        { Make.technique "prefix" [ $"tokens={tokens}" ] form (fun _ seed -> adapter tokens seed) with
            Others = [ Convention.HuggingFace, form ]
            StartsAtBase = false
            Merges = false
            HuggingFace = Some(peft tokens)
        }

    /// What the name means.
    let spec: Spec =
        {
            Name = "prefix"
            Usage = "prefix(tokens=20)"
            Source = "Li and Liang 2021"
            Summary = "Keys and values before those of the decoder's self-attentions."
            First = "tokens"
            Read = fun words -> ofTokens (words.Count("tokens", Some 20))
            Examples = [ "prefix(tokens=3)" ]
            HuggingFace =
                Some
                    {
                        Type = "PREFIX_TUNING"
                        Defaults =
                            $"""{Prompt.peftDefaults}, "encoder_hidden_size": null, "init_weights": null, "prefix_projection": false"""
                        Notes = "num_transformer_submodules" :: Prompt.peftNoteKeys
                        Read = fun values -> ofTokens (values.Count "num_virtual_tokens")
                    }
        }
