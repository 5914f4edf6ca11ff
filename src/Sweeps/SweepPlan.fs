namespace Peft

/// A grid of experiments and where to run it.
[<NoComparison>]
type SweepPlan =
    {
        /// The base model, the data folder and the device.
        Session: SessionOptions
        Tasks: TaskDefinition list
        /// Baselines and techniques.
        Methods: Method list
        /// A text at whose embeddings the soft tokens of prompt tuning start; none for a random start.
        PromptText: string option
        /// Places for every technique that stands at linear maps; the others are run once, where they belong.
        Placements: Placement list
        /// The paper's Table 2 instead of `Methods` × `Placements`: LoRA and (IA)3 at each of its places.
        IsAblation: bool
        /// Amounts of training data.
        Levels: Level list
        /// Scores are averaged over them.
        Seeds: int list
        /// The most tokens of an input.
        InputLimit: int
        /// The most tokens of a target or an answer.
        TargetLimit: int
        /// The most validation rows, and the most test rows.
        ValidationLimit: int
        TestLimit: int
        /// Beams of the search that answers test rows; 1 is greedy.
        Beams: int
        /// What answers are limited to, on tasks that have labels; none where any text may be an answer.
        Constrain: AnswerLimit option
        /// The settings of training, a name of `Training.presets`.
        Preset: string
        /// What replaces settings of the preset.
        Overrides: Overrides
    }

[<RequireQualifiedAccess>]
module SweepPlan =
    /// The project's default: the paper's five techniques and the baselines on all tasks of the data folder, low level,
    /// seed 1, at their usual places, with the settings that belong to the model.
    let standard (session: SessionOptions) : SweepPlan =
        {
            Session = session
            Tasks =
                if Embedded.isData session.DataFolder then
                    TaskDefinition.generated
                else
                    TaskDefinition.paper
            Methods = Method.baselines @ List.map Tuned Technique.paper
            PromptText = None
            Placements = [ Placement.everywhere ]
            IsAblation = false
            Levels = [ Low ]
            Seeds = [ 1 ]
            InputLimit = 512
            TargetLimit = 128
            ValidationLimit = Split.standardLimit
            TestLimit = Split.standardLimit
            Beams = 1
            Constrain = None
            Preset =
                if Embedded.isModel session.ModelFolder then
                    "searched"
                else
                    "paper"
            Overrides = Overrides.None
        }

    /// Where the values of its trainings come from.
    let recipe (plan: SweepPlan) : Recipe =
        {
            Preset = plan.Preset
            Overrides = plan.Overrides
        }

    let private atLeastOne (plan: SweepPlan) : (string * int option) list =
        [
            "InputLimit", Some plan.InputLimit
            "TargetLimit", Some plan.TargetLimit
            "Beams", Some plan.Beams
            "ValidationLimit", Some plan.ValidationLimit
            "TestLimit", Some plan.TestLimit
            "Epochs", plan.Overrides.Epochs
            "BatchSize", plan.Overrides.BatchSize
            "Accumulation", plan.Overrides.Accumulation
            "Patience", plan.Overrides.Patience
        ]

    let private ranges (overrides: Overrides) : (string * float * float * float option) list =
        [
            "Dropout", 0.0, 0.99, overrides.Dropout
            "WarmupShare", 0.0, 1.0, overrides.WarmupShare
            "WeightDecay", 0.0, 1.0, overrides.WeightDecay
            "ClipNorm", 0.0, 1e6, overrides.ClipNorm
            match overrides.Rates with
            | Some(initial, peak, final) ->
                for rate in [ initial; peak; final ] do
                    "Rates", 0.0, 1e30, Some rate
            | None -> ()
        ]

    /// `UserError` where a number is out of its range or a list is empty. `called` gives the reader's name of a field:
    /// `id`, or the name of an option.
    let check (called: string -> string) (plan: SweepPlan) : unit =
        for name, value in atLeastOne plan do
            if value |> Option.exists (fun value -> value < 1) then
                userError $"{called name} is {value.Value}; the least is 1."

        for name, least, most, value in ranges plan.Overrides do
            // Not a number is in no range.
            if value |> Option.exists (fun value -> not (value >= least && value <= most)) then
                userError $"{called name} is {value.Value}; it is a number from {least} to {most}."

        for name, isEmpty in
            [
                "Tasks", plan.Tasks.IsEmpty
                "Methods", plan.Methods.IsEmpty
                "Levels", plan.Levels.IsEmpty
                "Seeds", plan.Seeds.IsEmpty
            ] do
            if isEmpty then
                userError $"{called name} names nothing: give at least one, or leave it out for the default."
