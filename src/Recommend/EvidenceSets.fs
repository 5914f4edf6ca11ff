namespace Peft

open System.IO

/// Runs that were made with a base of one size: what a recommendation may stand on beside the user's own.
[<NoComparison>]
type EvidenceSet =
    {
        /// In words, for the first lines of a recommendation.
        Name: string
        /// Elements of the base model; none where they are not known.
        Parameters: float option
        Runs: Run list
        IsPaper: bool
    }

/// The sets of evidence there are.
[<RequireQualifiedAccess>]
module EvidenceSets =
    /// The paper's figures: FLAN-T5-XL's.
    let paper: EvidenceSet =
        {
            Name = "the paper's figures (Tables 1, 3 and 4)"
            Parameters =
                Paper.runs
                |> List.map (fun run -> float run.TotalParameters)
                |> List.max
                |> Some
            Runs = Paper.runs
            IsPaper = true
        }

    /// The parameters of the base of some runs.
    let sizeOf (runs: Run list) : float option =
        match runs |> List.filter (fun run -> run.TotalParameters > 0L) with
        | [] -> None
        | known ->
            // The base's own: adapters add little to it.
            known |> List.map (fun run -> float run.TotalParameters) |> List.min |> Some

    /// The embedded benchmark's runs, where the repository is there.
    let embedded () : EvidenceSet option =
        try
            let file =
                Path.Combine(Embedded.dataFolder (), "..", "docs", "report", "runs.jsonl.gz")

            if File.Exists file then
                let runs = Results.read file |> fst

                Some
                    {
                        Name = "the embedded benchmark's runs"
                        Parameters = sizeOf runs
                        Runs = runs
                        IsPaper = false
                    }
            else
                None
        with UserError _ ->
            None

    /// The set whose base is nearest in size, by ratio; the first where no size is known.
    let nearest (parameters: float option) (sets: EvidenceSet list) : EvidenceSet =
        match parameters with
        | None -> sets.Head
        | Some wanted ->
            sets
            |> List.minBy (fun set ->
                set.Parameters
                |> Option.map (fun size -> abs (log (size / wanted)))
                |> Option.defaultValue infinity)

    /// A size in words: `2.5 million`, `2.8 billion`.
    let size (parameters: float) : string =
        if parameters >= 1e9 then
            $"{NumberStyle.text (Significant 2) (parameters / 1e9)} billion"
        else
            $"{NumberStyle.text (Significant 2) (parameters / 1e6)} million"
