namespace Peft

open System
open System.Text.RegularExpressions
open TorchSharp

/// What a soft prompt starts from.
type PromptStart =
    /// N(0, 1), as Hugging Face's peft starts it.
    | Normal
    /// Embeddings of sampled vocabulary (Lester et al. 2021, §3.2).
    | Vocabulary
    /// Embeddings of these ids, over and over until the prompt is full: a text's ids.
    | Ids of int list

/// Prompt tuning (Lester et al. 2021): trained rows before the embedded input.
[<RequireQualifiedAccess>]
module Prompt =
    /// The number of soft tokens in the paper.
    let paperTokens = 100

    /// `tokens` rows from N(0, 1).
    let adapter (tokens: int) (seed: int) : Adapter =
        if tokens < 1 then
            invalidArg (nameof tokens) $"tokens is {tokens}, the least is 1"

        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let width = int64 (Model.shape model).Width

            let rows = Start.normal generator 1.0 [| int64 tokens; width |] (Model.device model)

            Model.withPrompt (Leaf.trained rows) model

    let private promptRows (ids: int64 array) : Adapter =
        fun model ->
            use _ = torch.no_grad ()

            use rows =
                torch.stack (ids |> Array.map (fun id -> Model.embeddingOf (int id) model))

            Model.withPrompt (Leaf.trained rows) model

    /// Prompt tuning from a text: soft token i starts at the embedding of `ids[i mod length]`, as peft's TEXT does.
    let fromIds (tokens: int) (ids: int list) : Adapter =
        fun model ->
            if tokens < 1 || ids.IsEmpty then
                invalidArg (nameof tokens) "a prompt has one token at least, and starts from one id at least"

            let vocabulary = (Model.shape model).Vocabulary

            match ids |> List.tryFind (fun id -> id < 0 || id >= vocabulary) with
            | Some id -> userError $"the prompt starts from id {id}, and the vocabulary has {vocabulary}."
            | None -> ()

            let row place = int64 ids[place % ids.Length]
            promptRows (Array.init tokens row) model

    /// The most frequent pieces, from which a prompt's start is sampled (Lester et al. 2021, §3.2): SentencePiece numbers
    /// its pieces by frequency.
    let sampledVocabulary = 5000

    /// Prompt tuning from sampled vocabulary: the embeddings of different pieces among the first 5,000.
    let fromVocabulary (tokens: int) (seed: int) : Adapter =
        fun model ->
            let among = min sampledVocabulary (Model.shape model).Vocabulary

            if tokens < 1 || tokens > among then
                userError $"a prompt of {tokens} tokens cannot start from {among} pieces of vocabulary."

            let order = Array.init among int64
            Random(seed).Shuffle order
            promptRows (Array.take tokens order) model

    /// What peft notes of the base.
    let internal peftNotes (width: int) (heads: int) (layers: int) =
        [
            "token_dim", HuggingFaceValue.element width
            "num_attention_heads", HuggingFaceValue.element heads
            "num_layers", HuggingFaceValue.element layers
        ]

    /// peft's `num_transformer_submodules` of a model.
    let internal submodulesOf (shape: Shape) : int =
        if Shape.blocks shape Encoder > 0 then 2 else 1

    /// The keys that soft prompts and prefixes have.
    let internal peftDefaults =
        """ "num_attention_heads": null, "num_layers": null, "num_transformer_submodules": null,
            "num_virtual_tokens": null, "token_dim": null """

    /// Keys of theirs that leave the function as it is.
    let internal peftNoteKeys =
        [
            "num_attention_heads"
            "num_layers"
            "token_dim"
            "encoder_hidden_size"
            "init_weights"
        ]

    /// The file holds the rows once for each of peft's `submodules`; the first are read.
    let private peft (tokens: int) (submodules: int) : HuggingFaceForm =
        let keys =
            [
                "num_virtual_tokens", HuggingFaceValue.element tokens
                "num_transformer_submodules", HuggingFaceValue.element submodules
            ]

        { Make.huggingFace "PROMPT_TUNING" keys [ "prompt_embeddings", "prompt_embeddings" ] with
            Notes =
                fun shape ->
                    // A decoder alone has no encoder's layers.
                    match Shape.blocks shape Encoder with
                    | 0 -> peftNotes shape.Width shape.Heads (Shape.blocks shape Decoder)
                    | layers -> peftNotes shape.Width shape.Heads layers
            FileShape =
                fun name shape ->
                    match name, shape with
                    | "prompt_embeddings", [ rows; width ] -> [ rows * int64 submodules; width ]
                    | _ -> shape
            Copies = submodules
        }

    let private form (tokens: int) : Form =
        { Form.nothing with
            Prompt = tokens
            Formula = "tokens·d_model"
        }

    let rec private build (tokens: int) (submodules: int) (start: PromptStart) : Technique =
        let words, apply =
            match start with
            | Normal -> [], (fun _ seed -> adapter tokens seed)
            | Vocabulary -> [ "init=vocabulary" ], (fun _ seed -> fromVocabulary tokens seed)
            | Ids ids -> [ "ids=" + String.Join("+", ids) ], (fun _ _ -> fromIds tokens ids)

        { Make.technique "prompt" ($"tokens={tokens}" :: words) (form tokens) apply with
            Others =
                [
                    // prompt_tuning.py: rows before the encoder's input and others before the decoder's.
                    if start = Normal then
                        Convention.TFew,
                        { form tokens with
                            IsPromptOfEachStack = true
                            Formula = "tokens·d_model for each stack"
                        }

                    // num_transformer_submodules is 2 for encoder-decoder models, and the forward pass uses the first half.
                    Convention.HuggingFace,
                    { form tokens with
                        IsPromptOfEachStack = true
                        Formula = "tokens·d_model for each stack, of two half of it unused"
                    }
                ]
            Rates =
                {
                    Paper = (3e-3, 3e-1, 3e-2)
                    SmallPeak = 3e-1
                }
            StartsAtBase = false
            Merges = false
            HuggingFace =
                Some
                    { peft tokens submodules with
                        OnShape =
                            fun shape ->
                                match submodulesOf shape with
                                | same when same = submodules -> None
                                | other -> Some(build tokens other start)
                    }
        }

    /// So many soft tokens, started so. In peft's files a prompt has both halves that peft makes for an encoder-decoder.
    let technique (tokens: int, start: PromptStart) : Technique = build tokens 2 start

    /// So many soft tokens from N(0, 1).
    let ofTokens (tokens: int) : Technique = technique (tokens, Normal)

    let private read (words: Words) : Technique =
        let tokens = words.Count("tokens", Some paperTokens)

        match words.Text "init", words.Names "ids" with
        | None, None -> ofTokens tokens
        | Some "vocabulary", None -> technique (tokens, Vocabulary)
        | None, Some ids when ids |> List.forall (fun id -> Regex.IsMatch(id, @"^\d{1,6}$")) ->
            technique (tokens, Ids(List.map int ids))
        | _ -> refuse "a prompt starts with init=vocabulary, with ids=5+9+17, or at random"

    /// What the name means.
    let spec: Spec =
        {
            Name = "prompt"
            Usage = "prompt(tokens=100,init=vocabulary)"
            Source = "Lester et al. 2021"
            Summary = "Soft tokens before the input."
            First = "tokens"
            Read = read
            Examples =
                [
                    "prompt(tokens=4)"
                    "prompt(tokens=5,init=vocabulary)"
                    "prompt(tokens=5,ids=3+9)"
                ]
            HuggingFace =
                Some
                    {
                        Type = "PROMPT_TUNING"
                        Defaults =
                            $"""{peftDefaults}, "prompt_tuning_init": "RANDOM", "prompt_tuning_init_text": null,
                                "tokenizer_kwargs": null, "tokenizer_name_or_path": null"""
                        Notes =
                            [
                                "prompt_tuning_init"
                                "prompt_tuning_init_text"
                                "tokenizer_kwargs"
                                "tokenizer_name_or_path"
                            ]
                            @ peftNoteKeys
                        Read =
                            fun values ->
                                build
                                    (values.Count "num_virtual_tokens")
                                    (values.Count "num_transformer_submodules")
                                    Normal
                    }
        }
