namespace Peft

open System.Collections.Generic

/// Every way to score answers.
[<RequireQualifiedAccess>]
module Metrics =
    /// In the order of preference: a task reports the first that suits it, unless it says otherwise.
    let all: Metric list =
        [
            Accuracy.metric
            Matthews.metric
            MacroF1.metric
            RankAccuracy.metric
            LabelShare.metric
            Rouge.longest
            Rouge.unigrams
            Rouge.bigrams
        ]

    /// The metric of a name; none where a result file names one of another version of this program.
    let tryFind (name: string) : Metric option =
        all |> List.tryFind (fun metric -> metric.Name = name)

    /// The metric of a name; `UserError` where there is none.
    let find (name: string) : Metric =
        match tryFind name with
        | Some metric -> metric
        | None ->
            let names = all |> List.map _.Name |> Nearest.orList
            userError $"\"{name}\" is no scoring. Choose {names}."

    /// A metric's heading in tables, whatever its version.
    let title (name: string) : string =
        tryFind name |> Option.map _.Title |> Option.defaultValue name

    /// Whether the metric of a name scores labels rather than text.
    let isOfLabels (name: string) : bool =
        tryFind name |> Option.exists (fun metric -> not (metric.Suits []))

    /// A score of the metric of a name so that more is better; one of another version is taken for such.
    let worth (name: string) (score: float) : float =
        tryFind name
        |> Option.map (fun metric -> metric.Worth score)
        |> Option.defaultValue score

    /// Whether a figure draws the metric of a name.
    let isDrawn (figure: MetricFigure) (name: string) : bool =
        tryFind name
        |> Option.forall (fun metric -> List.contains figure metric.Figures)

    /// What a task with these labels reports unless it says otherwise.
    let usual (labels: string list) : Metric =
        all |> List.find (fun metric -> metric.Suits labels)

    /// Scores by name, in the order of names, of every metric that suits the labels and sees all replies, and of the
    /// reported one.
    let scores (labels: string list) (reported: Metric) (replies: Reply[]) : Dictionary<string, float> =
        reported
        :: (all
            |> List.filter (fun metric -> metric.Suits labels && Array.forall metric.Sees replies))
        |> List.distinct
        |> List.sortBy _.Name
        |> List.map (fun metric -> KeyValuePair(metric.Name, metric.OfRows labels replies))
        |> Dictionary
