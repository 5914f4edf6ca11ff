namespace Peft

open System
open System.Globalization
open System.IO
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
    let private form (convention: Convention) (technique: Technique) : Form =
        match Technique.form convention technique with
        | Some form -> form
        | None ->
            let others =
                Convention.all
                |> List.filter (fun convention -> (Technique.form convention technique).IsSome)
                |> List.map Convention.name

            userError
                $"the convention {Convention.name convention} has no {Technique.name technique}: did you mean {Nearest.orList others}?"

    /// What the live model would refuse: a part of a chain that keeps no site, a rank above a map's size.
    let rec private checkParts (technique: Technique) (placement: Placement) (chosen: Site list) =
        for part in technique.Parts do
            match part.Sites with
            | Some own ->
                match chosen |> List.filter own with
                | [] ->
                    userError
                        $"{part.Words} has no site left at {Placement.text placement}: widen the placement, or leave that part out."
                | kept -> checkParts part placement kept
            | None -> ()

        match technique.Rank with
        | Some rank ->
            for site in chosen do
                if int64 rank > min site.In site.Out then
                    userError
                        $"rank {rank} is too large for {site.Name}, a map from {site.In} to {site.Out}: the largest is {min site.In site.Out}."
        | None -> ()

    /// The linear maps that a technique touches under a placement, in the order of computation.
    let sites (shape: Shape) (convention: Convention) (technique: Technique) (placement: Placement) : Site list =
        match (form convention technique).Sites with
        | Some own ->
            let chosen = shape.Sites |> List.filter (Placement.within shape own placement)
            checkParts technique placement chosen
            chosen
        | None ->
            // Refuses any placement but `all`.
            Placement.ofTechnique shape technique placement |> ignore
            []

    /// Every tensor that a technique trains under a placement. Under the paper's convention these are the names and
    /// shapes of `Model.trained`.
    let trained (shape: Shape) (convention: Convention) (technique: Technique) (placement: Placement) : Outline list =
        let form = form convention technique

        [
            for site in sites shape convention technique placement do
                yield! Form.tensorsAt form site

            yield! Form.tokens shape form
            yield! shape.Tensors |> List.filter form.Own
            yield! shape.Shared |> List.filter form.Untied
        ]

    /// Counts a technique under a placement.
    let count (shape: Shape) (convention: Convention) (technique: Technique) (placement: Placement) : Count =
        let form = form convention technique
        let touched = sites shape convention technique placement

        let added =
            Outline.elements (Form.tokens shape form)
            + Outline.elements (shape.Shared |> List.filter form.Untied)
            + (touched |> List.sumBy (Form.tensorsAt form >> Outline.elements))

        {
            Sites = touched.Length
            Trainable = added + Outline.elements (shape.Tensors |> List.filter form.Own)
            Total = shape.Elements + added + (touched |> List.sumBy (Form.frozenAt form))
        }

    /// Table 3's 14 rows and A.4's two, with the figures printed there.
    let paperRows: PaperRow list =
        let lora, ia3 = Some PaperLora.standard, Some Ia3.paper

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
            row "A.4" "prompt tuning" (Some(Prompt.ofTokens Prompt.paperTokens)) Placement.everywhere 204800L
            row "A.4" "BitFit" (Some BitFit.technique) Placement.everywhere 1179648L
        ]

    /// The count of a row for a model of this shape; `Printed` is comparable for FLAN-T5-XL.
    let ofRow (shape: Shape) (row: PaperRow) : int64 =
        match row.Technique with
        | None -> shape.Elements
        | Some technique -> (count shape Convention.Paper technique row.Placement).Trainable

    // Tables for the terminal.

    let private percent (value: float) =
        if value >= 100.0 then
            "100"
        else
            value.ToString("0.0000", CultureInfo.InvariantCulture)

    /// One line for each technique and placement: sites, trainable and total elements, and the share.
    let table (shape: Shape) (convention: Convention) (variants: (Technique * Placement) list) : string =
        let row (technique, placement) =
            let count = count shape convention technique placement

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
    let conventionTable (shape: Shape) (techniques: Technique list) : string =
        let rows =
            [
                for technique in techniques do
                    for convention in Convention.all do
                        match Technique.form convention technique with
                        | Some form ->
                            [
                                Technique.text technique
                                Convention.name convention
                                Columns.number (count shape convention technique Placement.everywhere).Trainable
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
                :: (Checkpoint.sizes
                    |> List.map (fun (_, shape) -> Columns.number (ofRow shape row))))

        Columns.table ("variant" :: List.map fst Checkpoint.sizes) rows

    /// Table 3 and A.4: the paper's figures beside the counts computed for FLAN-T5-XL, and how many are equal.
    let paperTable () : string =
        let xl = Checkpoint.shape "xl"
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
