namespace Peft

open System
open System.Diagnostics
open System.IO
open System.Text.Json
open System.Threading

/// A configuration of a whole grid.
type GridCell =
    {
        /// Technique, size and place.
        Contender: string
        /// The highest learning rate.
        Peak: float
        /// The mean over test rows and seeds.
        Score: float
        /// Against the grid's best, after Holm's correction over all pairs: `BesideBest.tiedWithBest`.
        P: float
        /// Against the grid's best, of these trainings alone and without correction: paired over test rows, each row's mean
        /// over seeds.
        RowP: float
    }

/// A race beside the whole grid on the same rows.
type GridVerdict =
    {
        Task: string
        /// How the task was made.
        About: string
        /// What the race chose.
        Chosen: GridCell
        /// What scored best in the grid.
        Best: GridCell
        Grid: GridCell list
        TestRows: int
        Seeds: int
        /// Wall-clock seconds.
        RaceSeconds: float
        GridSeconds: float
    }

    /// Whether test rows and seeds do not tell the choice from the grid's best.
    member verdict.IsTied: bool = verdict.Chosen.P >= 0.05

    /// The grid's best score less that of what was chosen.
    member verdict.Regret: float = verdict.Best.Score - verdict.Chosen.Score

/// `scripts/choose-check.fsx`: whether races choose right.
[<RequireQualifiedAccess>]
module GridVerdict =
    /// Trials of each technique in the grid: as many as a race of this budget may try.
    let private trials = 4

    let private seeds = [ 1; 2; 3 ]

    /// The share of the grid's seconds that a race gets.
    let private share = 0.33

    let private stage (ground: Ground) (contenders: Contender list) (seed: int) : Stage =
        {
            Name = $"grid, seed {seed}"
            IsFinal = true
            HasBaselines = false
            Contenders = contenders |> List.map Journal.ofContender
            Rows = ground.Rows.Train
            Epochs = ground.Rows.Epochs
            Seed = seed
        }

    let private rowScores (folder: string) (run: Run) : float[] =
        Predictions.read (Run.predictionsOf folder run)
        |> Array.sortBy (fun prediction -> prediction.Input, prediction.Target)
        |> Array.map _.Score

    let private cells (folder: string) (runs: Run list) : (Contender * GridCell) list =
        let contender (runs: Run list) =
            (Standing.ofRun [] runs.Head).Value.Contender

        let groups =
            runs
            |> List.groupBy (fun run -> contender [ run ])
            |> List.filter (fun (_, runs) -> runs |> List.forall _.IsFinished && runs.Length = seeds.Length)
            |> List.map (fun (contender, runs) ->
                contender,
                runs
                |> List.sortBy _.Experiment.Seed
                |> List.map (rowScores folder)
                |> Array.ofList)

        let standings =
            groups
            |> List.map (fun (contender, rows) -> $"{Contender.name contender} {contender.Peak:G3}", rows)
            |> Array.ofList
            |> BesideBest.tiedWithBest 0.05 2_000 1UL

        let best =
            Array.zip (Array.ofList groups) standings
            |> Array.filter (fun (_, standing) -> standing.ToBest = 0.0)
            |> Array.minBy (fun (_, standing) -> standing.Name)
            |> fun ((_, rows), _) -> Crossed.rowMeans rows

        List.zip groups (List.ofArray standings)
        |> List.map (fun ((contender, rows), standing) ->
            contender,
            {
                Contender = Contender.name contender
                Peak = contender.Peak
                Score = standing.Mean
                P = standing.P
                RowP = RowTests.paired 10_000 1UL (Crossed.rowMeans rows) best
            })

    /// Runs the whole grid, then a race within a third of its seconds, and holds the choice against the grid. `About` is told.
    let run (about: string) (question: ChooseQuestion) : GridVerdict =
        let watch = Stopwatch.StartNew()

        let gridQuestion =
            { question with
                Folder = Path.Combine(question.Folder, "grid")
            }

        Files.createFolder gridQuestion.Folder
        let ground = Ground.create gridQuestion

        let racing: Racing =
            {
                Ground = ground
                Tell = ignore
                Stop = CancellationToken.None
                Command = "choose-check"
                Since = DateTime.UtcNow
                Clock = Stopwatch.StartNew()
                Before = 0.0
            }

        let contenders =
            ground.Families
            |> List.collect (Contender.ofFamily (Ground.usualPeak ground) trials)

        let runs =
            seeds
            |> List.collect (fun seed -> Race.perform racing 1e6 (stage ground contenders seed))

        let gridSeconds = watch.Elapsed.TotalSeconds
        let grid = cells (Ground.finals gridQuestion.Folder) runs

        let raceWatch = Stopwatch.StartNew()

        let race (share: float) =
            Choose.run
                { question with
                    Budget = TimeSpan.FromSeconds(share * gridSeconds)
                    Folder = Path.Combine(question.Folder, "race")
                }

        // A race that refuses a third as too little gets more, and both count.
        let choice =
            try
                race share
            with UserError _ ->
                race (2.0 * share)

        match choice.Verdict with
        | None -> userError $"{ground.Task.Name}: no finalist of the race has ended."
        | Some race ->
            {
                Task = ground.Task.Name
                About = about
                Chosen =
                    grid
                    |> List.find (fun (contender, _) -> contender = race.Chosen.Contender)
                    |> snd
                Best =
                    grid
                    |> List.map snd
                    |> List.filter (fun cell -> cell.P = 1.0)
                    |> List.maxBy _.Score
                Grid = List.map snd grid
                TestRows = race.TestRows
                Seeds = seeds.Length
                RaceSeconds = raceWatch.Elapsed.TotalSeconds
                GridSeconds = gridSeconds
            }

    /// The verdict on a generated task, from its file in `folder`, or else found and written there. `techniques` are raced
    /// instead of the usual ones where there are any. What the runs leave is removed.
    let ofTask (folder: string) (techniques: Technique list) (task: CheckTask) : GridVerdict =
        let path = Path.Combine(folder, $"{CheckTask.name task}.json")

        if File.Exists path then
            Json.read<GridVerdict> Json.options path
        else
            let work = Path.Combine(folder, "work")

            if Directory.Exists work then
                Directory.Delete(work, true)

            let data = CheckTask.write work task

            let question =
                ChooseQuestion.create data (Embedded.modelFolder ()) (TimeSpan.FromHours 1.0) work

            let verdict =
                run
                    (CheckTask.describe task)
                    { question with
                        Techniques = techniques
                        BatchSize = 8
                        TargetLimit = 48
                        Epochs = Some(CheckTask.epochs task)
                    }

            Files.writeAtomically path (JsonSerializer.Serialize(verdict, Json.options) + "\n")
            Directory.Delete(work, true)
            verdict
