namespace Peft

/// A round of a race: every technique that is still in it gets as many trials, each with as much training.
type Rung =
    {
        /// Of each technique.
        Trials: int
        /// Training rows that a trial sees, repetitions counted.
        Examples: int
    }

/// How trials are spread: the same number for each technique at each rung (successive halving, Jamieson and Talwalkar 2016,
/// within each technique), then the best of the techniques with several seeds.
type TrialPlan =
    {
        Rungs: Rung list
        /// Techniques that are trained to the end.
        Finalists: int
        /// Trainings of each of them.
        Seeds: int
        /// Training rows that a finalist sees, repetitions counted.
        Examples: int
    }

/// Rows at hand.
type RaceRows =
    {
        Train: int
        Validation: int
        Test: int
        /// Validation rows that a trial answers, beside the loss of all.
        Answered: int
        /// The most epochs of a finalist.
        Epochs: int
    }

/// Measured seconds: what a plan is priced by.
type Pace =
    {
        /// For a training row, by family.
        Train: (string * float) list
        /// For a validation row's loss.
        Validate: float
        /// For a row's answer.
        Answer: float
        /// For a run, beside its rows: starting, saving, writing.
        Run: float
    }

/// Plans as pure values: what fits into a budget, and what it takes.
[<RequireQualifiedAccess>]
module TrialPlan =
    /// Halving that begins with so many trials of each technique and ends at half of what finalists train: each rung has half
    /// of the trials before it with twice the training.
    let halving (trials: int) (finalists: int) (seeds: int) (examples: int) : TrialPlan =
        let rec rungs (trials: int) (share: int) =
            {
                Trials = trials
                Examples = max 1 (examples / share)
            }
            :: (if trials <= 2 then
                    []
                else
                    rungs ((trials + 1) / 2) (max 2 (share / 2)))

        {
            Rungs = rungs trials (max 2 trials)
            Finalists = finalists
            Seeds = seeds
            Examples = examples
        }

    /// The rows and epochs that come to so many examples: a part of the rows once, or all of them several times.
    let rowsAndEpochs (train: int) (examples: int) : int * int =
        if examples <= train then
            max 1 examples, 1
        else
            train, max 1 (int (round (float examples / float train)))

    /// Seconds of one run.
    let private run (pace: Pace) (rows: RaceRows) (answered: int) (family: string) (examples: int) : float =
        let train, epochs = rowsAndEpochs rows.Train examples

        let perRow =
            pace.Train
            |> List.tryFind (fst >> (=) family)
            |> Option.map snd
            |> Option.defaultWith (fun () -> pace.Train |> List.map snd |> List.max)

        float epochs * (float train * perRow + float rows.Validation * pace.Validate)
        + float answered * pace.Answer
        + pace.Run

    /// Seconds of a rung: every family's trials.
    let rungSeconds (pace: Pace) (rows: RaceRows) (families: string list) (rung: Rung) : float =
        families
        |> List.sumBy (fun family -> float rung.Trials * run pace rows rows.Answered family rung.Examples)

    /// Seconds of the finals: the dearest families once a seed, and the base model's answers.
    let finalSeconds (pace: Pace) (rows: RaceRows) (families: string list) (plan: TrialPlan) : float =
        let dearest =
            families
            |> List.map (fun family -> run pace rows rows.Test family plan.Examples)
            |> List.sortDescending
            |> List.truncate plan.Finalists
            |> List.sum

        float plan.Seeds * dearest + float rows.Test * pace.Answer + pace.Run

    /// Seconds of all of it, were it run one after the other.
    let seconds (pace: Pace) (rows: RaceRows) (families: string list) (plan: TrialPlan) : float =
        (plan.Rungs |> List.sumBy (rungSeconds pace rows families))
        + finalSeconds pace rows families plan

    /// Runs of a plan, without baselines.
    let runs (families: int) (plan: TrialPlan) : int =
        families * (plan.Rungs |> List.sumBy _.Trials)
        + min families plan.Finalists * plan.Seeds

    /// Epochs that are enough for so many rows: 4,000 examples, between 3 and 20 times each row.
    let enough (train: int) : int = 4_000 / max 1 train |> max 3 |> min 20

    /// What of a budget is planned: the rest is for what was not foreseen.
    let private planned = 0.85

    /// The plans in question, the most thorough first: fewer trials, less training and fewer finalists by turns, down to one
    /// trial of each technique and one epoch. A third finalist goes before training does: one that is trained for a quarter
    /// of the time tells little.
    let private ladder (most: int) (rows: RaceRows) : TrialPlan list =
        let full = rows.Train * rows.Epochs
        let at share = max rows.Train (full / share)

        [
            for trials, share, finalists in
                [
                    8, 1, 3
                    4, 1, 3
                    4, 2, 3
                    4, 2, 2
                    2, 2, 2
                    4, 4, 2
                    2, 4, 2
                    1, 4, 2
                    1, 8, 2
                    1, 1_000_000, 2
                ] do
                halving trials (min most finalists) 3 (at share)
        ]

    /// The most thorough plan that so many seconds hold with so many jobs at once; where none is, the seconds that the
    /// smallest takes. All of that is a function of the arguments.
    let within
        (budget: float)
        (jobs: int)
        (pace: Pace)
        (rows: RaceRows)
        (families: string list)
        : Result<TrialPlan, float> =
        let cost plan =
            seconds pace rows families plan / float jobs / planned

        let plans = ladder families.Length rows

        match plans |> List.tryFind (fun plan -> cost plan <= budget) with
        | Some plan -> Ok plan
        | None -> Error(plans |> List.map cost |> List.min)
