from fastapi import BackgroundTasks

async def send_welcome_email(email: str, name: str):
    # Async email sending
    await email_service.send(
        to=email,
        template="welcome",
        context={"name": name}
    )


@router.post("/users")
async def create_user(
    user_data: UserCreate,
    background_tasks: BackgroundTasks,
    db: Session = Depends(get_db),
):
    user = await user_service.create(user_data)
    background_tasks.add_task(send_welcome_email, user.email, user.name)
    return user
