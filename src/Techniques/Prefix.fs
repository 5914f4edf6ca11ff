namespace Peft

open TorchSharp

/// Prefix tuning (Li and Liang 2021) as peft has it.
[<RequireQualifiedAccess>]
module Prefix =
    /// `tokens` keys and values before those of each decoder self-attention, from N(0, 1). It computes something else than
    /// the base from the start. In a T5 with an even number of layers half of its numbers are never read (see the model);
    /// peft trains and counts them all the same.
    let adapter (tokens: int) (seed: int) : Adapter =
        if tokens < 1 then
            invalidArg (nameof tokens) $"tokens is {tokens}, the least is 1"

        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let width = (Model.shape model).PrefixWidth

            let rows = Start.normal generator 1.0 [| int64 tokens; width |] (Model.device model)

            Model.withPrefix (Leaf.trained rows) model

    let private peft (tokens: int) : HuggingFaceForm =
        let keys = [ "num_virtual_tokens", HuggingFaceValue.element tokens ]

        { Make.huggingFace "PREFIX_TUNING" keys [ "prefix_embeddings", "prompt_embeddings" ] with
            Notes =
                fun shape ->
                    let layers = Shape.blocks shape Decoder
                    // Of the keys alone, or the values, of one layer.
                    let width = int (shape.PrefixWidth / 2L / int64 layers)

                    // peft takes the width of hidden states here, and of heads that share keys that of the keys.
                    let encoder =
                        if width = shape.Heads * shape.HeadWidth then
                            shape.Width
                        else
                            width

                    ("num_transformer_submodules", HuggingFaceValue.element (Prompt.submodulesOf shape))
                    :: ("encoder_hidden_size", HuggingFaceValue.element encoder)
                    :: Prompt.peftNotes width (width / shape.HeadWidth) layers
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
