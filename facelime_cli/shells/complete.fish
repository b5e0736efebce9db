# Completion of facelime for fish: facelime completion fish > ~/.config/fish/completions/facelime.fish
function __facelime_complete
    set -l words (commandline -opc)
    set -l program $words[1]
    set -e words[1]
    set -l current (commandline -ct)
    set -l answer (_FACELIME_COMPLETE=fish $program $words "$current" 2>/dev/null)
    test (count $answer) -gt 0; or return
    set -l files $answer[1]
    set -e answer[1]
    printf '%s\n' $answer
    if test $files = files
        __fish_complete_path "$current"
    end
end
complete -c facelime -f -a '(__facelime_complete)'
