namespace Peft

open System
open System.Globalization
open System.IO
open Peft.T5
open TorchSharp

/// How many elements a technique trains, and where.
type Count =
    {
        /// The linear maps it touches.
        Sites: int
        Trainable: int64
        /// Of the adapted model.
        Total: int64
    }

    /// Trainable elements among all, in percent.
    member count.Percent: float = 100.0 * float count.Trainable / float count.Total

/// A variant of Table 3 or A.4 with the paper's figure for FLAN-T5-XL.
type PaperRow =
    {
        Source: string
        Label: string
        /// None for the row that counts the model itself.
        Technique: Technique option
        Placement: Placement
        Printed: int64
    }

/// Exact counts from dimensions alone: nothing is loaded.
[<RequireQualifiedAccess>]
module Accounting =
    let private flan width heads hidden layers : Config =
        Config.gated 32128 width 64 heads hidden layers

    /// FLAN-T5's published sizes (Chung et al. 2022; the dimensions are T5 v1.1's).
    let sizes: (string * Config) list =
        [
            "small", flan 512 6 1024 8
            "base", flan 768 12 2048 12
            "large", flan 1024 16 2816 24
            "xl", flan 2048 32 5120 24
            "xxl", flan 4096 64 10240 24
        ]

    /// The configuration of a built-in size (`xl`, `flan-t5-xl`, `google/flan-t5-xl`), of a `config.json`, or of a
    /// folder with one.
    let config (text: string) : Config =
        let lower = text.Trim().ToLowerInvariant()

        let short =
            if lower.StartsWith("google/", StringComparison.Ordinal) then
                lower.Substring 7
            else
                lower

        let short =
            if short.StartsWith("flan-t5-", StringComparison.Ordinal) then
                short.Substring 8
            else
                short

        match sizes |> List.tryFind (fun (name, _) -> name = short) with
        | Some(_, config) -> config
        | None when Directory.Exists text -> Config.load (Path.Combine(text, "config.json"))
        | None when File.Exists text -> Config.load text
        | None ->
            userError
                $"'{text}' is neither a built-in size nor a config.json nor a folder with one: {Nearest.question (List.map fst sizes) short}"

    /// The number of elements of a model without adapter:
    /// V·d (twice with a head of its own) + blocks · (4·d·inner an attention + 2 or, gated, 3·d·d_ff a feed-forward +
    /// d a norm) + 2·d final norms + 2 · buckets·heads, where the decoder's blocks have two attentions and three norms.
    let total (config: Config) : int64 =
        let width, inner, hidden =
            int64 config.ModelWidth, int64 config.InnerWidth, int64 config.FeedForwardWidth

        let attention = 4L * width * inner
        let feedForward = (if config.IsGated then 3L else 2L) * width * hidden
        let encoder = int64 config.EncoderLayers * (attention + feedForward + 2L * width)

        let decoder =
            int64 config.DecoderLayers * (2L * attention + feedForward + 3L * width)

        let vocabulary =
            (if config.IsTied then 1L else 2L) * int64 config.VocabularySize * width

        let bias = 2L * int64 config.Buckets * int64 config.Heads
        vocabulary + encoder + decoder + 2L * width + bias

    let private form (convention: Convention) (technique: Technique) : Form =
        match Form.of' convention technique with
        | Some form -> form
        | None ->
            let others =
                Convention.all
                |> List.filter (fun convention -> (Form.of' convention technique).IsSome)
                |> List.map Convention.name

            userError
                $"the convention {Convention.name convention} has no {Technique.name technique}: did you mean {Nearest.orList others}?"

    /// What the live model would refuse: a part of a chain that keeps no site, a rank above a map's size.
    let rec private checkParts (config: Config) (technique: Technique) (placement: Placement) (chosen: Site list) =
        match technique with
        | Chain parts ->
            for part in parts do
                match Adapter.usualSites part with
                | Some own ->
                    match chosen |> List.filter own with
                    | [] ->
                        userError
                            $"{Technique.text part} has no site left at {Placement.text placement}: widen the placement, or leave that part out."
                    | kept -> checkParts config part placement kept
                | None -> ()
        | _ ->
            match Technique.rank technique with
            | Some rank ->
                for site in chosen do
                    let fanIn, fanOut = site.In, site.Out

                    if int64 rank > min fanIn fanOut then
                        userError
                            $"rank {rank} is too large for {Site.name site}, a map from {fanIn} to {fanOut}: the largest is {min fanIn fanOut}."
            | None -> ()

    /// The linear maps that a technique touches under a placement, in the order of computation.
    let sites (config: Config) (convention: Convention) (technique: Technique) (placement: Placement) : Site list =
        match (form convention technique).Standard with
        | Some own ->
            let chosen = Sites.all config |> List.filter (Placement.within config own placement)
            checkParts config technique placement chosen
            chosen
        | None ->
            // Refuses any placement but `all`.
            Placement.ofTechnique config technique placement |> ignore
            []

    /// Every tensor that a technique trains under a placement. Under the paper's convention these are the names and
    /// shapes of `Model.trained`.
    let trained (config: Config) (convention: Convention) (technique: Technique) (placement: Placement) : Outline list =
        let form = form convention technique

        [
            for site in sites config convention technique placement do
                for suffix, shape in form.AtSite site (site.In, site.Out) do
                    {
                        Name = $"{Site.name site}.{suffix}"
                        Shape = shape
                    }

            yield! form.Added config
            yield! form.Own config
        ]

    /// Counts a technique under a placement.
    let count (config: Config) (convention: Convention) (technique: Technique) (placement: Placement) : Count =
        let form = form convention technique
        let touched = sites config convention technique placement

        let atSites =
            touched
            |> List.sumBy (fun site ->
                form.AtSite site (site.In, site.Out)
                |> List.sumBy (fun (_, shape) -> List.fold (*) 1L shape))

        let added = atSites + Outline.elements (form.Added config)

        {
            Sites = touched.Length
            Trainable = added + Outline.elements (form.Own config)
            Total = total config + added
        }

    /// Table 3's 14 rows and A.4's two, with the figures printed there.
    let paperRows: PaperRow list =
        let lora, ia3 = Some(Lora Technique.paperRank), Some Ia3

        let row source label technique placement printed =
            {
                Source = source
                Label = label
                Technique = technique
                Placement = placement
                Printed = printed
            }

        let table3 = row "Table 3"

        [
            table3 "total (no PEFT)" None Placement.everywhere 2849757184L
            table3 "(IA)3" ia3 Placement.everywhere 933888L
            table3 "LoRA" lora Placement.everywhere 3538944L
            table3 "(IA)3, early layers" ia3 Placement.early 466944L
            table3 "LoRA, early layers" lora Placement.early 1769472L
            table3 "(IA)3, later layers" ia3 Placement.late 466944L
            table3 "LoRA, later layers" lora Placement.late 1769472L
            table3 "(IA)3, random layers" ia3 (Placement.random 0) 466944L
            table3 "LoRA, random layers" lora (Placement.random 0) 1769472L
            table3 "LoRA, no self-attention" lora Placement.withoutSelfAttention 1179648L
            table3 "LoRA, no encoder-decoder attention" lora Placement.withoutCrossAttention 2359296L
            table3 "LoRA, no query/output" lora Placement.withoutQueryOutput 1769472L
            table3 "(IA)3, no attention" ia3 Placement.withoutAttention 344064L
            table3 "(IA)3, no dense activation" ia3 Placement.withoutDense 589824L
            row "A.4" "prompt tuning" (Some(PromptTuning Technique.paperTokens)) Placement.everywhere 204800L
            row "A.4" "BitFit" (Some BitFit) Placement.everywhere 1179648L
        ]

    /// The count of a row for a model of this shape; `Printed` is comparable for FLAN-T5-XL.
    let ofRow (config: Config) (row: PaperRow) : int64 =
        match row.Technique with
        | None -> total config
        | Some technique -> (count config Convention.Paper technique row.Placement).Trainable

    // Tables for the terminal.

    let private percent (value: float) =
        if value >= 100.0 then
            "100"
        else
            value.ToString("0.0000", CultureInfo.InvariantCulture)

    /// One line for each technique and placement: sites, trainable and total elements, and the share.
    let table (config: Config) (convention: Convention) (variants: (Technique * Placement) list) : string =
        let row (technique, placement) =
            let count = count config convention technique placement

            [
                Technique.text technique
                Placement.text placement
                string count.Sites
                Columns.number count.Trainable
                Columns.number count.Total
                percent count.Percent
            ]

        Columns.table [ "technique"; "placement"; "sites"; "trainable"; "total"; "%" ] (List.map row variants)

    /// Each technique under each convention, with its closed form.
    let conventionTable (config: Config) (techniques: Technique list) : string =
        let rows =
            [
                for technique in techniques do
                    for convention in Convention.all do
                        match Form.of' convention technique with
                        | Some form ->
                            [
                                Technique.text technique
                                Convention.name convention
                                Columns.number (count config convention technique Placement.everywhere).Trainable
                                form.Formula
                            ]
                        | None ->
                            [
                                Technique.text technique
                                Convention.name convention
                                "-"
                                "has no such technique"
                            ]
            ]

        Columns.table [ "technique"; "convention"; "trainable"; "closed form" ] rows

    /// Every variant of Table 3 and A.4 for every built-in size.
    let sizeTable () : string =
        let rows =
            paperRows
            |> List.map (fun row ->
                row.Label
                :: (sizes |> List.map (fun (_, config) -> Columns.number (ofRow config row))))

        Columns.table ("variant" :: List.map fst sizes) rows

    /// Table 3 and A.4: the paper's figures beside the counts computed for FLAN-T5-XL, and how many are equal.
    let paperTable () : string =
        let xl = config "xl"
        let compared = paperRows |> List.map (fun row -> row, ofRow xl row)

        let line (row: PaperRow, computed) =
            [
                row.Source
                row.Label
                Columns.number row.Printed
                Columns.number computed
                if computed = row.Printed then "equal" else "DIFFERENT"
            ]

        let equal = compared |> List.filter (fun (row, computed) -> computed = row.Printed)

        Columns.table [ "source"; "variant"; "paper"; "computed"; "" ] (List.map line compared)
        + $"\n{equal.Length} of {compared.Length} rows are equal (FLAN-T5-XL)."

    // The live model.

    /// After a backward pass: trained tensors that no gradient reached at all, and those whose gradient is all zero.
    /// (A fresh LoRA's `lora_a` is among the latter: its gradient is a product with B, which starts at zero.)
    let withoutGradient (model: Model) : string list * string list =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        let unreached, reached =
            Model.trained model
            |> List.map (fun (name, parameter) -> name, Option.ofObj parameter.grad)
            |> List.partition (fun (_, gradient) -> gradient.IsNone)

        let isZero (gradient: torch.Tensor) =
            gradient.count_nonzero().item<int64>() = 0L

        List.map fst unreached,
        reached
        |> List.filter (fun (_, gradient) -> gradient |> Option.exists isZero)
        |> List.map fst

    /// What `withoutGradient` found, in words, for the log of a run's first step.
    let gradientReport (model: Model) : string =
        let unreached, zero = withoutGradient model

        let told (names: string list) =
            match names with
            | [] -> "none"
            | first :: _ when names.Length > 3 -> $"{names.Length} tensors, the first is {first}"
            | few -> String.concat ", " few

        $"trained tensors: {(Model.trained model).Length}; without gradient: {told unreached}; gradient all zero: {told zero}"
