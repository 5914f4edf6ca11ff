namespace Peft

open System
open System.IO
open System.Security.Cryptography
open System.Text

/// What a race is run on: the rows, the model, and how a stage becomes runs.
[<NoComparison; NoEquality>]
type internal Ground =
    {
        Question: ChooseQuestion
        Session: Session
        Task: TaskDefinition
        /// The same rows without the test rows: its trials are tested on the validation rows.
        TrialTask: TaskDefinition
        /// The split of the first seed.
        Split: Split
        Rows: RaceRows
        Families: TechniqueFamily list
        /// What was left out, and why.
        Notes: string list
        Key: string
    }

[<RequireQualifiedAccess>]
module internal Ground =
    /// More validation rows than these cost a race more than they tell.
    let validationLimit = 250

    /// Trials are judged by the loss: a few answers are enough to show what they come to.
    let answeredLimit = 20

    /// The folder of trials within a race's folder.
    let trials (folder: string) : string = Path.Combine(folder, "trials")

    /// The folder of the finalists' results.
    let finals (folder: string) : string = Path.Combine(folder, "results")

    let private level (question: ChooseQuestion) =
        question.Rows |> Option.map Amount |> Option.defaultValue Level.everything

    /// What tells one race from another: the rows, the model, and everything that is asked.
    let private key
        (question: ChooseQuestion)
        (session: Session)
        (split: Split)
        (families: TechniqueFamily list)
        : string =
        let text =
            String.Join(
                "|",
                [
                    split.Fingerprint
                    session.Fingerprint
                    session.Options.Precision
                    session.Options.Device
                    $"{question.Budget.TotalSeconds} {question.MaxParameters} {question.MaxMemoryMiB} {question.Rows}"
                    $"{question.InputLimit} {question.TargetLimit} {question.BatchSize}"
                    yield! question.Epochs |> Option.map string |> Option.toList
                    yield!
                        families
                        |> List.map (fun family ->
                            family.Variants
                            |> List.map (fun (technique, placement) ->
                                Technique.text technique + " " + Placement.text placement)
                            |> String.concat ",")
                ]
            )

        Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes text)).Substring(0, 16).ToLowerInvariant()

    /// Whether a variant keeps the limits of parameters and memory; memory is what the process has before the model, and the
    /// plan's estimate.
    let private isWithin (question: ChooseQuestion) (shape: Shape) (rows: EncodedSplit) =
        let longest (part: EncodedRow -> int[]) =
            Seq.append rows.Train rows.Validation
            |> Seq.map (part >> Array.length)
            |> Seq.max

        let workload: Workload =
            {
                Batch = min question.BatchSize rows.Train.Length
                Accumulation = 1
                InputLength = longest _.Ids
                TargetLength = longest _.Labels
                Precision = Precision.parse question.Session.Precision
                Recomputes = false
            }

        let already = float Environment.WorkingSet / 1048576.0

        fun (technique: Technique, placement: Placement) ->
            let count = Accounting.count shape Convention.Paper technique placement

            match question.MaxParameters, question.MaxMemoryMiB with
            | Some limit, _ when count.Trainable > limit ->
                Error $"it trains {count.Trainable:N0} parameters, and {limit:N0} are the most."
            | _, Some limit ->
                let plan = Plan.create shape technique placement workload
                let needed = already + float plan.Memory.Total / 1048576.0

                if needed > limit then
                    Error $"it takes about {needed:N0} MiB, and {limit:N0} are the most."
                else
                    Ok()
            | _ -> Ok()

    /// The rows of the first seed with the validation rows in the place of the test rows.
    let private trialPools (split: Split) : Pools =
        let pool (files: FileRows) (rows: Example[]) : Pool =
            {
                Files = files.Files
                Examples = rows
                LeftOut = 0
                Unlabelled = []
            }

        let held =
            pool
                (split.Source.Validation |> Option.defaultValue split.Source.Train)
                (Array.truncate validationLimit split.Validation)

        {
            Train = pool split.Source.Train split.Train
            Validation = held
            Test = held
        }

    /// Reads the rows, and sees what of the techniques fits them, the model and the limits.
    let create (question: ChooseQuestion) : Ground =
        let task = OwnData.task question.Data
        let session = Session question.Session

        let split =
            session.Split(task, level question, 1, Split.standardLimit, Split.standardLimit)

        let trialTask =
            { task with
                Name = task.Name + "-trial"
            }

        session.Adopt(trialTask, trialPools split)
        let shape = Checkpoint.shape question.Session.ModelFolder

        let encoded =
            session.Encoded(task, split, question.InputLimit, question.TargetLimit)

        let asked =
            if question.Techniques.IsEmpty then
                TechniqueFamily.standard
            else
                question.Techniques |> List.map TechniqueFamily.ofTechnique

        let families, causes =
            asked |> TechniqueFamily.fitting shape (isWithin question shape encoded)

        if families.IsEmpty then
            let first = List.head causes
            userError $"No technique fits the limits. {first} Raise --memory or --parameters, or take a smaller model."

        let cut =
            Seq.append encoded.Train encoded.Validation
            |> Seq.filter (fun row -> row.Labels.Length >= question.TargetLimit)
            |> Seq.length

        {
            Question = question
            Session = session
            Task = task
            TrialTask = trialTask
            Split = split
            Rows =
                {
                    Train = split.Train.Length
                    Validation = min validationLimit split.Validation.Length
                    Test = split.Test.Length
                    Answered = split.Validation.Length |> min validationLimit |> min answeredLimit
                    Epochs =
                        question.Epochs
                        |> Option.defaultWith (fun () -> TrialPlan.enough split.Train.Length)
                }
            Families = families
            Notes =
                causes
                @ [
                    if cut > 0 then
                        $"{cut:N0} targets have {question.TargetLimit:N0} tokens or more and are cut there: --target-limit says otherwise."
                ]
            Key = key question session split families
        }

    /// The training of a contender: the model's usual settings, without accumulation, at its own rate.
    let private training (ground: Ground) (contender: Contender) (stage: Stage) : Training =
        let dropout = ground.Session.Model.Shape.Dropout

        { Training.paper dropout contender.Technique (Amount stage.Rows) with
            Epochs = stage.Epochs
            BatchSize = ground.Question.BatchSize
            Accumulation = 1
            Patience = 3
        }
        |> Training.atPeak contender.Peak

    let private experiment
        (ground: Ground)
        (stage: Stage)
        method
        placement
        level
        training
        : TaskDefinition * Experiment =
        let question = ground.Question

        let task, validation, test =
            if stage.IsFinal then
                ground.Task, Split.standardLimit, Split.standardLimit
            else
                ground.TrialTask, validationLimit, answeredLimit

        let split =
            ground.Session.Split(task, level |> Option.defaultValue High, stage.Seed, validation, test)

        task,
        {
            Task = task.Name
            Method = method
            Placement = placement
            Level = level
            Seed = stage.Seed
            Model = ground.Session.Fingerprint
            Data = split.Fingerprint
            Precision = question.Session.Precision.ToLowerInvariant()
            InputLimit = question.InputLimit
            TargetLimit = question.TargetLimit
            Beams = 1
            Constrain = None
            Training = training
        }

    /// The runs of a stage, baselines first.
    let experiments (ground: Ground) (stage: Stage) : (TaskDefinition * Experiment) list =
        [
            if stage.HasBaselines then
                experiment ground stage ZeroShot Placement.everywhere None Training.none

                if not ground.Task.Labels.IsEmpty then
                    experiment ground stage Majority Placement.everywhere None Training.none

            for contender in stage.Contenders |> List.map Journal.toContender do
                experiment
                    ground
                    stage
                    (Tuned contender.Technique)
                    contender.Placement
                    (Some(Amount stage.Rows))
                    (training ground contender stage)
        ]

    /// Where a stage's runs leave their results.
    let folderOf (ground: Ground) (stage: Stage) : string =
        if stage.IsFinal then
            finals ground.Question.Folder
        else
            trials ground.Question.Folder

    /// The usual peak rate of a technique on a model: the small model's, or the paper's.
    let usualPeak (ground: Ground) (technique: Technique) : float =
        if Embedded.isModel ground.Session.Options.ModelFolder then
            technique.Rates.SmallPeak
        else
            let _, peak, _ = technique.Rates.Paper in peak
