namespace Peft

open System
open System.Diagnostics
open System.IO
open System.Threading

/// From rows and a budget to one technique, trained: `peft choose`.
[<RequireQualifiedAccess>]
module Choose =
    let private racing (ground: Ground) tell stop command since before : Racing =
        {
            Ground = ground
            Tell = tell
            Stop = stop
            Command = command
            Since = since
            Clock = Stopwatch.StartNew()
            Before = before
        }

    /// What an earlier call left of the same race; of another one in the folder, how often the test rows have been scored.
    let private journalOf (ground: Ground) : Journal =
        match Journal.tryRead ground.Question.Folder with
        | Some journal when journal.Key = ground.Key -> journal
        | Some other ->
            { Journal.fresh ground.Key with
                TestScorings = other.TestScorings
            }
        | None -> Journal.fresh ground.Key

    /// The plan for the time that is left; `UserError` where not even the smallest fits.
    let private planFor (racing: Racing) (pace: Pace) : TrialPlan =
        let ground = racing.Ground
        let question, families = ground.Question, ground.Families |> List.map _.Name
        let budget = question.Budget.TotalSeconds

        match TrialPlan.within (budget - racing.Used) question.Jobs pace ground.Rows families with
        | Ok plan -> plan
        | Error needed ->
            let least = ceil (1.1 * (needed + racing.Used))

            userError
                $"A budget of {Choice.duration budget} is below one short trial of each technique and one epoch of the finalists with three seeds, which take about {least:F0} s. Give --budget {least:F0}s, fewer --techniques, or fewer --rows."

    let private note (ground: Ground) (journal: Journal) : Journal =
        Journal.write ground.Question.Folder journal
        journal

    /// Keeps the adapter of the chosen technique's best seed, in Hugging Face's format where peft has such a technique, and
    /// removes the others.
    let private keep (ground: Ground) (chosen: Finalist) : string =
        let all = Path.Combine(ground.Question.Folder, "adapters")
        let target = Path.Combine(ground.Question.Folder, "adapter")

        let best =
            chosen.Runs
            |> List.minBy (fun run -> run.Epochs |> List.map _.ValidationLoss |> List.min)

        let source = Path.Combine(all, best.Name)

        if Directory.Exists source then
            if Directory.Exists target then
                Directory.Delete(target, true)

            try
                AdapterFolders.convert source target ground.Session.Fingerprint ground.Session.Model
                |> ignore
            with UserError _ ->
                if Directory.Exists target then
                    Directory.Delete(target, true)

                Directory.Move(source, target)

        target

    let private conclude (racing: Racing) (journal: Journal) (standings: Standing list) (isStopped: bool) : Choice =
        let ground = racing.Ground
        let finals = journal.Stages |> List.filter _.IsFinal
        let results = Ground.finals ground.Question.Folder
        let runs = finals |> List.collect (Race.results ground) |> List.distinctBy _.Id

        let verdict =
            if isStopped && not journal.IsOver then
                None
            else
                FinalVerdict.ofRuns ground.Question.Priority results runs

        {
            Question = ground.Question
            Rows = OwnData.describe ground.Task ground.Split |> String.concat " "
            Verdict = verdict
            Standings = standings
            Metric =
                if ground.Task.Metric.IsMeanOfRows then
                    ground.Task.Metric.Title
                else
                    "share right"
            IsStopped = isStopped
            Seconds = racing.Used
            Runs =
                journal.Stages
                |> List.collect (Ground.experiments ground)
                |> List.distinct
                |> List.length
            Adapter = verdict |> Option.map (fun verdict -> keep ground verdict.Chosen)
            Notes =
                ground.Notes
                @ [
                    if journal.TestScorings > 1 then
                        $"The test rows have been scored for {journal.TestScorings} choices in this folder: the score is no longer that of rows which nothing was chosen by."
                    match verdict with
                    | Some verdict when verdict.Seeds < 3 ->
                        $"The budget held {verdict.Seeds} of 3 seeds: the interval says less of other trainings."
                    | _ -> ()
                ]
        }

    /// What the last rung that has results came to: for a race that is stopped, or was over before it is asked again.
    let private lastStandings (ground: Ground) (journal: Journal) : Standing list =
        journal.Stages
        |> List.filter (fun stage -> not stage.IsFinal)
        |> List.rev
        |> Seq.map (
            Race.results ground
            >> List.choose (Standing.ofRun ground.Families)
            >> Standing.ranked
        )
        |> Seq.tryFind (Standing.survivors 1 >> List.isEmpty >> not)
        |> Option.defaultValue []

    /// The whole race from where it stands.
    let private race (racing: Racing) (journal: Journal) : Journal * Standing list =
        let ground = racing.Ground

        let pace = journal.Pace |> Option.defaultWith (fun () -> Race.measure racing)

        let plan = journal.Plan |> Option.defaultWith (fun () -> planFor racing pace)

        let journal =
            note
                ground
                { journal with
                    Pace = Some pace
                    Plan = Some plan
                    Seconds = racing.Used
                }

        let families, jobs = ground.Families |> List.map _.Name, float ground.Question.Jobs
        racing.Tell(Planned(plan, families, TrialPlan.seconds pace ground.Rows families plan / jobs))
        let reserved = TrialPlan.finalSeconds pace ground.Rows families plan / jobs
        let standings, factor, journal = Race.rungs racing journal pace plan reserved

        match standings with
        | None -> journal, []
        | Some standings ->
            let leaders = Standing.leaders standings
            let _, journal = Finals.run racing journal pace plan factor leaders
            journal, standings

    /// Runs a race, telling how it goes; `stop` gives the best so far, and the same question goes on from there. A race that is
    /// over is answered from its results. `command` is for result files. `UserError` for rows, limits and budgets that nothing
    /// can be chosen with.
    let runWith
        (question: ChooseQuestion)
        (command: string)
        (since: DateTime)
        (tell: RaceEvent -> unit)
        (stop: CancellationToken)
        : Choice =
        if question.Jobs < 1 then
            userError $"--jobs is {question.Jobs}; the least is 1."

        Files.createFolder question.Folder
        Files.checkWritable question.Folder
        let clock = Stopwatch.StartNew()
        let ground = Ground.create question
        ground.Session.CheckVocabulary()
        tell (Found(OwnData.describe ground.Task ground.Split @ ground.Notes))
        let journal = journalOf ground

        let racing =
            racing ground tell stop command since (journal.Seconds + clock.Elapsed.TotalSeconds)

        if journal.IsOver then
            conclude
                { racing with
                    Before = journal.Seconds
                    Clock = Stopwatch()
                }
                journal
                (lastStandings ground journal)
                false
        else
            try
                let journal, standings = race racing journal

                let journal =
                    note
                        ground
                        { journal with
                            IsOver = true
                            Seconds = racing.Used
                        }

                conclude racing journal standings false
            with :? OperationCanceledException when stop.IsCancellationRequested ->
                let journal =
                    Journal.tryRead question.Folder
                    |> Option.filter (fun journal -> journal.Key = ground.Key)
                    |> Option.defaultValue journal

                let journal =
                    note
                        ground
                        { journal with
                            Key = ground.Key
                            Seconds = racing.Used
                        }

                conclude racing journal (lastStandings ground journal) true

    /// Runs a race in silence.
    let run (question: ChooseQuestion) : Choice =
        runWith question "" DateTime.UtcNow ignore CancellationToken.None

    /// Helps another process with its race until that is over or `stop` is cancelled.
    let assist (question: ChooseQuestion) (command: string) (since: DateTime) (stop: CancellationToken) : unit =
        let ground = Ground.create question
        Assistance.run (racing ground ignore stop command since 0.0)
