namespace Peft

open System.Globalization
open System.IO

/// A search for learning rates: every technique of a sweep tries the same peaks on every task; or for rates and sizes, with
/// as many trials for each.
[<NoComparison>]
type SearchPlan =
    {
        /// Tasks, techniques, levels and seeds; its rates play no part.
        Sweep: SweepPlan
        /// Peak learning rates; a run begins and ends at a tenth of its peak.
        Peaks: float list
        /// Whether a technique's main size is tried too: four times and a quarter of its rank, tokens or width. Then peaks are
        /// those around the `small` preset's, as many trials in all as there are `Peaks` (`Contender.ofFamily`).
        HasSizes: bool
    }

/// What one peak learning rate came to.
type Trial =
    {
        Task: string
        /// What was asked for: with the same words, all sizes of a technique share its trials.
        Family: string
        /// The technique's words, with its place where that is not the usual one.
        Technique: string
        Level: string
        Seed: int
        /// The peak learning rate.
        Peak: float
        /// The lowest of the epochs' validation losses, in nats per token; none where the run failed.
        ValidationLoss: float option
        /// Epochs that were trained.
        Epochs: int
        /// The name of the run's result file, without its end.
        Run: string
    }

/// The best peak of a technique on a task at a level.
type Found =
    {
        Task: string
        Technique: string
        Level: string
        /// The peak learning rate.
        Peak: float
        /// The mean over seeds, in nats per token.
        ValidationLoss: float
        /// Of how many trials it is the best.
        Trials: int
    }

/// Equal budgets: the same number of trials for each technique on each task, judged by validation rows only.
[<RequireQualifiedAccess>]
module Search =
    /// The techniques of `SweepPlan.standard` with six peaks each, at the low level, with the other settings that the embedded
    /// model is trained with; another model's are the paper's without accumulation.
    let standard (session: SessionOptions) : SearchPlan =
        let sweep = SweepPlan.standard session

        {
            Sweep =
                { sweep with
                    ValidationLimit = 250
                    // Answers play no part.
                    TestLimit = 1
                    Overrides =
                        { Overrides.None with
                            Accumulation = Some 1
                        }
                }
            Peaks = [ 1e-3; 3e-3; 1e-2; 3e-2; 1e-1; 3e-1 ]
            HasSizes = false
        }

    /// A plan's techniques, each with the sizes that share its trials.
    let families (plan: SearchPlan) : TechniqueFamily list =
        plan.Sweep.Methods
        |> List.choose (function
            | Tuned technique -> Some(TechniqueFamily.sized plan.HasSizes technique)
            | ZeroShot
            | Majority -> None)

    let private contenders (plan: SearchPlan) : Contender list =
        let peaks = List.distinct plan.Peaks

        if plan.HasSizes then
            if peaks.Length > Contender.most then
                userError
                    $"a search for sizes has at most {Contender.most} trials of each technique, not {peaks.Length}."

            families plan
            |> List.collect (Contender.ofFamily _.Rates.SmallPeak peaks.Length)
        else
            [
                for peak in peaks do
                    for family in families plan do
                        {
                            Technique = fst family.Variants.Head
                            Placement = Placement.everywhere
                            Peak = peak
                        }
            ]

    /// Every experiment of a search. `UserError` where nothing is to be tried.
    let experiments (session: Session) (plan: SearchPlan) : (TaskDefinition * Experiment) list =
        let at (contender: Contender) =
            { plan.Sweep with
                Methods = [ Tuned contender.Technique ]
                Overrides =
                    { plan.Sweep.Overrides with
                        Rates = Some(contender.Peak / 10.0, contender.Peak, contender.Peak / 10.0)
                    }
            }

        if plan.Peaks.IsEmpty then
            userError "A search needs peak learning rates to try: name at least one."

        if (families plan).IsEmpty then
            userError "A search needs techniques to try: name at least one."

        contenders plan
        |> List.collect (at >> Sweep.experiments session)
        |> List.distinctBy (snd >> Experiment.name)

    /// The words of the technique that a run's was asked for as.
    let private familyOf (plan: SearchPlan) (experiment: Experiment) : string =
        let asked =
            families plan
            |> List.tryFind (fun family ->
                family.Variants
                |> List.exists (fun (technique, _) -> Tuned technique = experiment.Method))
            |> Option.map (fun family -> Tuned(fst family.Variants.Head))

        { experiment with
            Method = asked |> Option.defaultValue experiment.Method
        }
        |> Experiment.methodName

    let private trial (plan: SearchPlan) (run: Run) : Trial =
        let experiment = run.Experiment

        {
            Task = experiment.Task
            Family = familyOf plan experiment
            Technique = Experiment.methodName experiment
            Level = Level.text experiment.Level
            Seed = experiment.Seed
            Peak = experiment.Training.PeakRate
            ValidationLoss =
                if run.IsFinished then
                    run.Epochs |> List.map _.ValidationLoss |> List.min |> Some
                else
                    None
            Epochs = run.Epochs.Length
            Run = Experiment.name experiment
        }

    /// Where the trials of a search lie beside its result files.
    let path (results: string) : string =
        Path.Combine(results, "trials", "search.json")

    /// Runs what has no result yet and gives all trials, which are also written as data (`path`). A run that fails is a trial
    /// without a loss.
    let run (shop: Workshop) (plan: SearchPlan) : Trial list =
        let shop =
            { shop with
                ValidationLimit = plan.Sweep.ValidationLimit
                TestLimit = plan.Sweep.TestLimit
            }

        let trials =
            experiments shop.Session plan |> Pipeline.sweep shop |> List.map (trial plan)

        let path = path shop.Results
        Files.createFolder (string (Path.GetDirectoryName path))
        Files.writeAtomically path (System.Text.Json.JsonSerializer.Serialize(trials, Json.options) + "\n")
        trials

    /// The mean over seeds of a peak's losses; none where a run failed.
    let private meanLoss (trials: Trial list) : float option =
        let losses = trials |> List.choose _.ValidationLoss

        if losses.Length = trials.Length then
            Some(List.average losses)
        else
            None

    /// The best size and peak for each task, technique and level, in the order of the trials; none is told where every run
    /// failed.
    let best (trials: Trial list) : Found list =
        [
            for (task, _, level), group in trials |> List.groupBy (fun trial -> trial.Task, trial.Family, trial.Level) do
                let tried = group |> List.groupBy (fun trial -> trial.Technique, trial.Peak)

                let losses =
                    tried
                    |> List.choose (fun (what, trials) -> meanLoss trials |> Option.map (fun loss -> what, loss))

                match losses with
                | [] -> ()
                | losses ->
                    let (technique, peak), loss = losses |> List.minBy snd

                    {
                        Task = task
                        Technique = technique
                        Level = level
                        Peak = peak
                        ValidationLoss = loss
                        Trials = tried.Length
                    }
        ]

    /// The peak of each technique and level with the lowest mean loss over all tasks: what a preset can say. A peak at which a
    /// run failed is none.
    let overall (trials: Trial list) : Found list =
        trials |> List.map (fun trial -> { trial with Task = "all tasks" }) |> best

    /// What was found, as a table of text.
    let describe (found: Found list) : string =
        let row (found: Found) =
            [
                found.Technique
                found.Level
                found.Task
                found.Peak.ToString CultureInfo.InvariantCulture
                found.ValidationLoss.ToString("F4", CultureInfo.InvariantCulture)
                $"best of {found.Trials}"
            ]

        Columns.table [ "technique"; "level"; "task"; "peak rate"; "validation loss"; "trials" ] (List.map row found)
