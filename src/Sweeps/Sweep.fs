namespace Peft

open System.Diagnostics
open TorchSharp

/// What there is of a run already.
type ForecastState =
    | New
    /// An interrupted run's state, from which it goes on.
    | Continued
    | Finished

/// What a run would be and take.
type Forecast =
    {
        Experiment: Experiment
        TrainingRows: int
        TestRows: int
        /// Trained elements, as the paper counts them.
        TrainedParameters: int64
        /// The whole run's, about; early stopping may shorten it.
        Seconds: float
        State: ForecastState
    }

/// From a plan to its experiments, and to their runs.
[<RequireQualifiedAccess>]
module Sweep =
    let private preset (name: string) =
        match Training.presets |> List.tryFind (fst >> (=) name) with
        | Some(_, preset) -> preset
        | None ->
            let names = Training.presets |> List.map fst |> String.concat ", "
            userError $"'{name}' is no preset: use {names}."

    let private training (plan: SweepPlan) (task: string) (dropout: float) technique level : Training =
        preset plan.Preset task dropout technique level
        |> Overrides.apply plan.Overrides

    /// Prompt tuning from the ids of a text; other methods as they are.
    let private startedAt (session: Session) (text: string) (method: Method) : Method =
        match method with
        | Tuned technique when technique.Form.Prompt > 0 && technique = Prompt.ofTokens technique.Form.Prompt ->
            match
                session.Tokenizer.Encode text
                |> Array.filter ((<>) session.Tokenizer.EosId)
                |> List.ofArray
            with
            | [] -> userError "The text for the prompt's start is empty: give the words that the prompt starts from."
            | ids -> Tuned(Prompt.technique (technique.Form.Prompt, Ids ids))
        | _ -> method

    let private methodsFor (session: Session) (plan: SweepPlan) (task: TaskDefinition) =
        let started =
            match plan.PromptText with
            | Some text -> startedAt session text
            | None -> id

        plan.Methods
        |> List.map started
        |> List.filter (fun method -> not (method = Majority && task.Labels.IsEmpty))

    /// The variants of the paper's Table 2: LoRA at seven places, (IA)3 at six.
    let ablations (seed: int) : (Technique * Placement) list =
        let place technique words =
            Placement.presets seed
            |> List.filter (fun (name, _) -> List.contains name words)
            |> List.map (fun (_, placement) -> technique, placement)

        let layers = [ "all layers"; "early layers"; "later layers"; "random layers" ]

        place
            PaperLora.standard
            (layers
             @ [ "no self-attention"; "no encoder-decoder attention"; "no query/output" ])
        @ place Ia3.paper (layers @ [ "no attention"; "no dense activation" ])

    /// Techniques with their places. Full fine-tuning, say, has no linear maps to choose among: it is run where it belongs.
    let private variants (plan: SweepPlan) (seed: int) (methods: Method list) : (Method * Placement) list =
        if plan.IsAblation then
            ablations seed
            |> List.map (fun (technique, placement) -> Tuned technique, placement)
        else
            [
                for method in methods do
                    match method with
                    | Tuned technique when (Placement.standard technique).IsSome ->
                        for placement in plan.Placements do
                            yield method, placement
                    | _ -> yield method, Placement.everywhere
            ]

    /// The split of an experiment; a baseline sees the largest level's training rows.
    let private splitOf (session: Session) (plan: SweepPlan) (task: TaskDefinition) (level: Level option) (seed: int) =
        session.Split(task, level |> Option.defaultValue High, seed, plan.ValidationLimit, plan.TestLimit)

    let private experiment (session: Session) (plan: SweepPlan) task level seed (method, placement) : Experiment =
        let level =
            level
            |> Option.map (fun level -> Level.among (session.Available(task, plan.ValidationLimit)) level)

        let split = splitOf session plan task level seed

        {
            Task = task.Name
            Method = method
            Placement = placement
            Level = level
            Seed = seed
            Model = session.Fingerprint
            Data = split.Fingerprint
            Precision = plan.Session.Precision.ToLowerInvariant()
            InputLimit = plan.InputLimit
            TargetLimit = plan.TargetLimit
            Beams = plan.Beams
            Constrain = plan.Constrain
            Training =
                match method, level with
                | Tuned technique, Some level -> training plan task.Name session.Model.Shape.Dropout technique level
                | _ -> Training.none
        }

    /// Every experiment of a plan: task by task, baselines first, then level by level. Reads the data, since an
    /// experiment names its split by content.
    let experiments (session: Session) (plan: SweepPlan) : (TaskDefinition * Experiment) list =
        SweepPlan.check id plan

        [
            for task in plan.Tasks do
                let methods = methodsFor session plan task
                let baselines, tuned = methods |> List.partition Method.isBaseline

                for method in baselines do
                    for seed in plan.Seeds ->
                        task, experiment session plan task None seed (method, Placement.everywhere)

                for level in plan.Levels do
                    for seed in plan.Seeds do
                        for variant in variants plan seed tuned ->
                            task, experiment session plan task (Some level) seed variant
        ]
        // Options may name a thing twice.
        |> List.distinctBy (snd >> Experiment.name)

    /// Runs every experiment of a plan that has no result yet (`Pipeline.sweep`), with the plan's limits of rows.
    let run (shop: Workshop) (plan: SweepPlan) : Run list =
        let shop =
            { shop with
                ValidationLimit = plan.ValidationLimit
                TestLimit = plan.TestLimit
                Recipe = Some(SweepPlan.recipe plan)
            }

        experiments shop.Session plan |> Pipeline.sweep shop

    /// Rows that a run passes through the model, a training row counted as three (forward and backward), a test row as four
    /// (it is generated token by token): what the time of a run is about proportional to.
    let cost (split: Split) (experiment: Experiment) : float =
        let rows = float split.Train.Length * 3.0 + float split.Validation.Length

        float experiment.Training.Epochs * rows
        + (if experiment.Method = Majority then
               0.0
           else
               4.0 * float split.Test.Length)

    /// The costs of a plan's experiments, by their ids.
    let costs
        (session: Session)
        (plan: SweepPlan)
        (experiments: (TaskDefinition * Experiment) list)
        : (string * float) list =
        experiments
        |> List.map (fun (task, experiment) ->
            let split = splitOf session plan task experiment.Level experiment.Seed
            Experiment.id experiment, cost split experiment)

    /// Seconds for one unit of `cost`, from one forward pass over validation rows of a task.
    let private secondsPerUnit (session: Session) (plan: SweepPlan) (task: TaskDefinition) : float =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let split = splitOf session plan task (Some Low) plan.Seeds.Head

        let rows =
            session.Encoded(task, split, plan.InputLimit, plan.TargetLimit).Validation
            |> Array.truncate 16

        let batch = Batch.ofRows session.Model.Shape.PadId session.Device rows

        let pass () =
            (Model.loss Pass.Evaluation session.Model batch).item<float32>() |> ignore

        pass ()
        let watch = Stopwatch.StartNew()
        pass ()
        watch.Elapsed.TotalSeconds / float rows.Length

    let private state (results: string) (experiment: Experiment) : ForecastState =
        if (Pipeline.tryFinished results experiment).IsSome then
            Finished
        elif RunState.exists results experiment then
            Continued
        else
            New

    /// What the runs of a plan would be and take, without training: times from one forward pass for each task.
    let forecast (session: Session) (plan: SweepPlan) (results: string) : Forecast list =
        let perTask =
            plan.Tasks
            |> List.map (fun task -> task.Name, secondsPerUnit session plan task)
            |> dict

        [
            for task, experiment in experiments session plan do
                let split = splitOf session plan task experiment.Level experiment.Seed

                {
                    Experiment = experiment
                    TrainingRows =
                        if Method.isBaseline experiment.Method then
                            0
                        else
                            split.Train.Length
                    TestRows = split.Test.Length
                    TrainedParameters =
                        match experiment.Method with
                        | Tuned technique ->
                            (Accounting.count
                                (Model.shape session.Model)
                                Convention.Paper
                                technique
                                experiment.Placement)
                                .Trainable
                        | _ -> 0L
                    Seconds = cost split experiment * perTask[task.Name]
                    State = state results experiment
                }
        ]
