namespace Peft

/// One worded row: what the model reads and what it should write.
type Example = { Input: string; Target: string }

/// What a file of a data set is for.
[<RequireQualifiedAccess>]
type Portion =
    | Train
    | Validation
    | Test

/// A column that may hold the target. `Codes` gives the label for each code; without codes the cell is the target itself.
type Answer =
    {
        Column: string
        Codes: (string * string) list
    }

/// Where the hub has a data set.
type HubSource =
    {
        /// `owner/name`.
        Id: string
        /// None where there is one only.
        Configuration: string option
    }

/// Where a task's rows lie: names of folders and files, tried in order.
type TaskFiles =
    {
        /// None where the hub has no such data set.
        Hub: HubSource option
        /// Under the data folder; the first that holds training rows is used, for all portions.
        Folders: string list
        /// Names without extension, or paths of whole files. Names in one inner list are read together, where they exist. Where
        /// no file has one of the names, a file whose name begins with one is taken.
        Train: string list list
        Validation: string list list
        Test: string list list
        Header: Header
    }

/// A data set as a value: where its rows are, how they are worded, how predictions are scored.
[<NoComparison>]
type TaskDefinition =
    {
        Name: string
        /// For the headings of tables.
        Title: string
        /// The answers there can be, in the order of the options; none where text is generated.
        Labels: string list
        /// What tables report of the scores; the others that suit the labels are recorded beside it.
        Metric: Metric
        /// The input: `{field}` stands for a field or column of the row, `{options}` for the list of labels. It comes
        /// before the text, so that cutting a long input leaves it whole.
        Instruction: string
        /// Fields that editions of the data set name differently: the first alternative whose columns the row has gives
        /// the field, its cells joined by a blank. A name that is not here is a column's.
        Fields: (string * string list list) list
        /// The columns that may hold the target; the first that the row has counts.
        Answers: Answer list
        Files: TaskFiles
        /// Whether rows without any input are left out, and counted; otherwise they are refused.
        LeavesOutEmpty: bool
    }
