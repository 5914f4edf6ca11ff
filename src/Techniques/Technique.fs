namespace Peft

open System
open System.Globalization
open System.Text.RegularExpressions

/// LoRA beyond the paper's: `lora(rank=8,alpha=16,rs,dora,dropout=0.1)`.
type LoraSettings =
    {
        Rank: int
        /// The update counts alpha / rank, or alpha / sqrt(rank) where it is rank-stabilised.
        Alpha: float
        /// Dropout of the update's input, in training.
        Dropout: float
        /// rsLoRA (Kalajdzievski 2023): alpha / sqrt(rank).
        IsRankStabilised: bool
        /// DoRA (Liu et al. 2024): the direction of each row is adapted, its length is trained apart.
        IsDora: bool
        /// PiSSA (Meng et al. 2024): A and B start at the weight's largest singular directions.
        IsPissa: bool
        /// LoRA+ (Hayou et al. 2024): B learns this many times as fast as A; 1 is LoRA.
        RateRatio: float
        /// Last parts of module names: `q`, `wo`, …
        Targets: string list
    }

    /// Hugging Face's targets for T5, q and v, with alpha = rank and everything else off.
    static member OfRank(rank: int) : LoraSettings =
        {
            Rank = rank
            Alpha = float rank
            Dropout = 0.0
            IsRankStabilised = false
            IsDora = false
            IsPissa = false
            RateRatio = 1.0
            Targets = [ "q"; "v" ]
        }

    /// What the update counts.
    member settings.Scale: float =
        if settings.IsRankStabilised then
            settings.Alpha / sqrt (float settings.Rank)
        else
            settings.Alpha / float settings.Rank

/// AdaLoRA: `adalora(rank=8,start=12,alpha=8)`. When ranks are taken away is `AdaLoraSchedule`'s matter.
type AdaLoraSettings =
    {
        /// The mean rank at the end.
        TargetRank: int
        /// The rank of every map at the start.
        InitialRank: int
        Alpha: float
        Dropout: float
        /// The weight of the orthogonality penalty.
        Orthogonality: float
    }

/// What a soft prompt starts from.
type PromptStart =
    /// Embeddings of sampled vocabulary (Lester et al. 2021, §3.2).
    | Vocabulary
    /// Embeddings of these ids, over and over until the prompt is full: a text's ids.
    | Ids of int list

/// Where a bottleneck adapter sits.
type BottleneckPlace =
    /// Behind the output map of every attention and feed-forward layer (Houlsby et al. 2019).
    | Behind
    /// Beside every feed-forward layer (He et al. 2022).
    | Beside

/// A technique and its settings: the paper's five, and the wider family.
type Technique =
    /// Every tensor is trained.
    | FullFineTuning
    /// T-Few's LoRALinear with this rank and scaling rank 1, on q, k, v, o.
    | Lora of rank: int
    /// Rescaling vectors on k, v and the inner activation.
    | Ia3
    /// A bias on every linear map.
    | BitFit
    /// This many soft tokens before the encoder's input.
    | PromptTuning of tokens: int
    /// LoRA as Hugging Face has it, with its variants.
    | LoraWith of LoraSettings
    /// (IA)3 as Hugging Face has it: outputs of k and v, inputs of wo.
    | Ia3HuggingFace
    /// (IA)3 as published: outputs of k, v and the inner activation.
    | Ia3Published
    /// Soft tokens that start from the embedding.
    | PromptTuningFrom of tokens: int * start: PromptStart
    /// Keys and values before those of the decoder's self-attentions.
    | PrefixTuning of tokens: int
    /// A small net behind or beside layers.
    | BottleneckAdapter of width: int * place: BottleneckPlace
    /// The scales of all layer norms.
    | LayerNormTuning
    /// Two vectors a map around random matrices, which follow from `key`.
    | Vera of rank: int * key: int
    | AdaLora of AdaLoraSettings
    /// Whole modules, trained as they are: `lm_head`, `final_layer_norm`, `wo`, …
    | ExtraModules of names: string list
    /// One after the other.
    | Chain of Technique list

[<RequireQualifiedAccess>]
module Technique =
    /// LoRA's rank in the paper.
    let paperRank = 2

    /// The number of soft tokens in the paper.
    let paperTokens = 100

    /// The paper's techniques with the paper's settings, in the order of its Table 1.
    let all: Technique list =
        [ FullFineTuning; Ia3; Lora paperRank; BitFit; PromptTuning paperTokens ]

    /// peft's defaults for AdaLoRA.
    let adaLora: AdaLoraSettings =
        {
            TargetRank = 8
            InitialRank = 12
            Alpha = 8.0
            Dropout = 0.0
            Orthogonality = 0.5
        }

    /// One of each technique beyond the paper's, with usual settings.
    let wider: Technique list =
        let lora =
            { LoraSettings.OfRank 8 with
                Alpha = 16.0
            }

        [
            LoraWith lora
            LoraWith { lora with IsRankStabilised = true }
            LoraWith { lora with IsDora = true }
            LoraWith { lora with IsPissa = true }
            LoraWith { lora with RateRatio = 16.0 }
            Ia3HuggingFace
            Ia3Published
            PromptTuningFrom(20, Vocabulary)
            PrefixTuning 20
            BottleneckAdapter(64, Behind)
            BottleneckAdapter(64, Beside)
            LayerNormTuning
            Vera(4, 0)
            AdaLora adaLora
        ]

    /// The short name: `full`, `lora`, `ia3`, `bitfit`, `prompt`, `prefix`, `adapter`, `layernorm`, `vera`, `adalora`,
    /// `modules`.
    let rec name (technique: Technique) : string =
        match technique with
        | FullFineTuning -> "full"
        | Lora _
        | LoraWith _ -> "lora"
        | Ia3
        | Ia3HuggingFace
        | Ia3Published -> "ia3"
        | BitFit -> "bitfit"
        | PromptTuning _
        | PromptTuningFrom _ -> "prompt"
        | PrefixTuning _ -> "prefix"
        | BottleneckAdapter _ -> "adapter"
        | LayerNormTuning -> "layernorm"
        | Vera _ -> "vera"
        | AdaLora _ -> "adalora"
        | ExtraModules _ -> "modules"
        | Chain parts -> parts |> List.map name |> String.concat "+"

    let private number (value: float) =
        value.ToString("R", CultureInfo.InvariantCulture)

    let private loraWords (settings: LoraSettings) =
        [
            $"rank={settings.Rank}"
            $"alpha={number settings.Alpha}"
            if settings.IsRankStabilised then
                "rs"
            if settings.IsDora then
                "dora"
            if settings.IsPissa then
                "pissa"
            if settings.Dropout <> 0.0 then
                $"dropout={number settings.Dropout}"
            if settings.RateRatio <> 1.0 then
                $"plus={number settings.RateRatio}"
            if settings.Targets <> [ "q"; "v" ] then
                "on=" + String.concat "+" settings.Targets
        ]

    let private adaLoraWords (settings: AdaLoraSettings) =
        [
            $"rank={settings.TargetRank}"
            $"start={settings.InitialRank}"
            $"alpha={number settings.Alpha}"
            if settings.Dropout <> 0.0 then
                $"dropout={number settings.Dropout}"
            if settings.Orthogonality <> adaLora.Orthogonality then
                $"orthogonality={number settings.Orthogonality}"
        ]

    /// The canonical words, which `parse` reads back: `lora(rank=2)`, `prefix(tokens=20)`, `lora(rank=2) >> layernorm`.
    let rec text (technique: Technique) : string =
        let words =
            match technique with
            | FullFineTuning
            | Ia3
            | BitFit
            | LayerNormTuning
            | Chain _ -> []
            | Lora rank -> [ $"rank={rank}" ]
            | PromptTuning tokens
            | PrefixTuning tokens -> [ $"tokens={tokens}" ]
            | PromptTuningFrom(tokens, Vocabulary) -> [ $"tokens={tokens}"; "init=vocabulary" ]
            | PromptTuningFrom(tokens, Ids ids) -> [ $"tokens={tokens}"; "ids=" + String.Join("+", ids) ]
            | LoraWith settings -> loraWords settings
            | Ia3HuggingFace -> [ "hf" ]
            | Ia3Published -> [ "published" ]
            | BottleneckAdapter(width, Behind) -> [ $"width={width}" ]
            | BottleneckAdapter(width, Beside) -> [ $"width={width}"; "parallel" ]
            | Vera(rank, 0) -> [ $"rank={rank}" ]
            | Vera(rank, key) -> [ $"rank={rank}"; $"key={key}" ]
            | AdaLora settings -> adaLoraWords settings
            | ExtraModules names -> [ "names=" + String.concat "+" names ]

        match technique, words with
        | Chain parts, _ -> parts |> List.map text |> String.concat " >> "
        | _, [] -> name technique
        | _ -> let inside = String.concat "," words in $"{name technique}({inside})"

    let private moduleNames = set [ "q"; "k"; "v"; "o"; "wi"; "wi_0"; "wi_1"; "wo" ]

    let private readLora (words: Words) : Technique =
        let rank = words.Count("rank", Some paperRank)
        let plain = LoraSettings.OfRank rank
        let targets = words.Names "on" |> Option.defaultValue plain.Targets

        match targets |> List.filter (moduleNames.Contains >> not) with
        | [] -> ()
        | unknown :: _ -> refuse $"lora cannot be on '{unknown}', only on q, k, v, o, wi, wi_0, wi_1 and wo"

        LoraWith
            {
                Rank = rank
                Alpha = words.Number("alpha", plain.Alpha)
                Dropout = words.Share "dropout"
                IsRankStabilised = words.Flag "rs"
                IsDora = words.Flag "dora"
                IsPissa = words.Flag "pissa"
                RateRatio = words.Number("plus", 1.0)
                Targets = targets
            }

    let private readPrompt (words: Words) : Technique =
        let tokens = words.Count("tokens", Some paperTokens)

        match words.Text "init", words.Names "ids" with
        | None, None -> PromptTuning tokens
        | Some "vocabulary", None -> PromptTuningFrom(tokens, Vocabulary)
        | None, Some ids when ids |> List.forall (fun id -> Regex.IsMatch(id, @"^\d{1,6}$")) ->
            PromptTuningFrom(tokens, Ids(List.map int ids))
        | _ -> refuse "a prompt starts with init=vocabulary, with ids=5+9+17, or at random"

    /// The setting that a number alone stands for.
    let private firstSetting (technique: string) : string =
        match technique with
        | "lora"
        | "vera"
        | "adalora" -> "rank"
        | "prompt"
        | "prefix" -> "tokens"
        | "adapter" -> "width"
        | _ -> "number"

    let private readOne (text: string) : Technique =
        let technique, settings = WordsReader.split firstSetting text
        let words = Words(technique, settings)

        match technique with
        | "full" -> words.Finish FullFineTuning
        | "bitfit" -> words.Finish BitFit
        | "layernorm" -> words.Finish LayerNormTuning
        | "ia3" when words.Flag "hf" -> words.Finish Ia3HuggingFace
        | "ia3" when words.Flag "published" -> words.Finish Ia3Published
        | "ia3" -> words.Finish Ia3
        // With a rank alone it is the paper's.
        | "lora" when settings |> List.forall (fst >> (=) "rank") ->
            words.Finish(Lora(words.Count("rank", Some paperRank)))
        | "lora" -> words.Finish(readLora words)
        | "prompt" -> words.Finish(readPrompt words)
        | "prefix" -> words.Finish(PrefixTuning(words.Count("tokens", Some 20)))
        | "adapter" ->
            let place = if words.Flag "parallel" then Beside else Behind
            words.Finish(BottleneckAdapter(words.Count("width", Some 64), place))
        | "vera" -> words.Finish(Vera(words.Count("rank", Some 256), words.Whole("key", Some 0)))
        | "adalora" ->
            words.Finish(
                AdaLora
                    {
                        TargetRank = words.Count("rank", Some adaLora.TargetRank)
                        InitialRank = words.Count("start", Some adaLora.InitialRank)
                        Alpha = words.Number("alpha", adaLora.Alpha)
                        Dropout = words.Share "dropout"
                        Orthogonality = words.Number("orthogonality", adaLora.Orthogonality)
                    }
            )
        | "modules" ->
            match words.Names "names" with
            | Some names -> words.Finish(ExtraModules names)
            | None -> refuse "modules needs names=lm_head, or several joined by '+'"
        | other -> refuse $"'{other}' is no technique"

    /// Reads `lora`, `lora(8)`, `lora(rank=8)`, `lora(rank=8,alpha=16,dora)`, `prefix(tokens=20) >> layernorm` and so on;
    /// a number left out is the paper's or peft's. `UserError` names the techniques there are.
    let parse (text: string) : Technique =
        match text.Split ">>" |> Array.map readOne |> List.ofArray with
        | [ one ] -> one
        | parts -> Chain parts

    /// The rank of the update at each site, where there is one that the map's size bounds.
    let rank (technique: Technique) : int option =
        match technique with
        | Lora rank -> Some rank
        | LoraWith settings -> Some settings.Rank
        | AdaLora settings -> Some settings.InitialRank
        | _ -> None

    /// How many times the learning rate a parameter of this name moves by: LoRA+ (Hayou et al. 2024, §4.3) lets B learn
    /// faster than A. For `Optimizer.grouped`.
    let rec rateMultiplier (technique: Technique) (parameter: string) : float =
        match technique with
        | LoraWith settings when Regex.IsMatch(parameter, @"\.lora_b(\.\d+)?$") -> settings.RateRatio
        | Chain parts -> parts |> List.map (fun part -> rateMultiplier part parameter) |> List.reduce (*)
        | _ -> 1.0

type Technique with
    /// `Technique.parse` for C#.
    static member Parse(words: string) : Technique = Technique.parse words
